// files_text: a file with a text in it.

import { Unknown } from '../provider/cty/value.ts'
import type { Plan, Resource, ResourceContext } from '../provider/resource.ts'
import {
  type Config,
  computed,
  defaulted,
  integer,
  optional,
  type Planned,
  required,
  type State,
  schema,
  string,
} from '../provider/schema.ts'
import { DIGEST_PREFIX, digestOf, modeProblem, pathProblem, type Workspace } from './workspace.ts'

const text = schema({
  description: 'A file with a text in it.',
  attributes: {
    path: required(string, { description: 'Relative to the root of the provider.', replaces: true, check: pathProblem }),
    content: optional(string, { description: 'Terraform shows it in plans.' }),
    sensitive_content: optional(string, { description: 'Terraform does not show it, but its state holds it.', sensitive: true }),
    mode: defaulted(string, '0644', { description: 'Permissions, in octal.', check: modeProblem }),
    digest: computed(string, { description: '`sha256-` and the hash of the content.' }),
    size: computed(integer, { description: 'Bytes.' }),
  },
})

type Text = typeof text

export class TextFile implements Resource<Text, Workspace> {
  readonly schema = text

  validate({ content, sensitive_content, mode }: Config<Text>, context: { error: Report; warn: Report }): void {
    if (content !== null && sensitive_content !== null) {
      context.error('Two contents', { detail: 'Give either content or sensitive_content.', path: ['sensitive_content'] })
    }
    if (typeof mode === 'string' && Number.parseInt(mode, 8) & 0o002) {
      context.warn('Everybody may write this file', { detail: `Permissions ${mode} let every user change it.`, path: ['mode'] })
    }
  }

  plan({ planned }: Plan<Text>): void {
    const content = planned.sensitive_content ?? planned.content ?? ''
    if (content instanceof Unknown) {
      // Something is known all the same, so that conditions on it can be decided in the plan.
      planned.digest = new Unknown({ notNull: true, prefix: DIGEST_PREFIX })
      planned.size = new Unknown({ notNull: true })
    } else {
      planned.digest = digestOf(content)
      planned.size = BigInt(Buffer.byteLength(content))
    }
  }

  create(planned: Planned<Text>, { client }: ResourceContext<Workspace>): Promise<State<Text>> {
    return this.#write(planned, client)
  }

  update(planned: Planned<Text>, _prior: State<Text>, { client }: ResourceContext<Workspace>): Promise<State<Text>> {
    return this.#write(planned, client)
  }

  async read(state: State<Text>, { client }: ResourceContext<Workspace>): Promise<State<Text> | null> {
    const found = await client.read(state.path)
    if (found === undefined) return null
    const content = found.content.toString()
    const attribute = state.sensitive_content === null ? 'content' : 'sensitive_content'
    const asWritten = state[attribute] === null && content === '' ? null : content
    return { ...state, [attribute]: asWritten, mode: found.mode, digest: digestOf(found.content), size: BigInt(found.content.length) }
  }

  async delete({ path }: State<Text>, { client }: ResourceContext<Workspace>): Promise<void> {
    await client.remove(path)
  }

  async import(path: string, { client }: ResourceContext<Workspace>): Promise<State<Text> | null> {
    const found = await client.read(path)
    if (found === undefined) return null
    const { content, mode } = found
    return { path, content: content.toString(), sensitive_content: null, mode, digest: digestOf(content), size: BigInt(content.length) }
  }

  async #write({ path, content, sensitive_content, mode }: Planned<Text>, client: Workspace): Promise<State<Text>> {
    const written = sensitive_content ?? content ?? ''
    await client.write(path, written, mode)
    return { path, content, sensitive_content, mode, digest: digestOf(written), size: BigInt(Buffer.byteLength(written)) }
  }
}

type Report = (summary: string, options: { detail: string; path: string[] }) => void
