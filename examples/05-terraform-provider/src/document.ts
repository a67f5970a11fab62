// files_document: a JSON file made of nested blocks, numbers of any size and values of any type.

import { randomUUID } from 'node:crypto'
import { dynamicOfJson, type Json, parseJson, printJson, valueOfJson } from '../provider/cty/json.ts'
import { type Dynamic, Unknown } from '../provider/cty/value.ts'
import { ProviderError } from '../provider/diagnostics.ts'
import type { Plan, Resource, ResourceContext } from '../provider/resource.ts'
import {
  blocks,
  computed,
  defaulted,
  dynamic,
  either,
  integer,
  map,
  nested,
  number,
  optional,
  type Planned,
  required,
  type State,
  schema,
  set,
  string,
} from '../provider/schema.ts'
import { digestOf, pathProblem, type Workspace } from './workspace.ts'

const document = schema({
  description: 'A JSON file.',
  // Version 0 called the title `name`.
  version: 1,
  attributes: {
    path: required(string, { description: 'Relative to the root of the provider.', replaces: true, check: pathProblem }),
    title: required(string),
    author: optional(nested('single', { name: required(string), mail: optional(string, { sensitive: true }) })),
    limits: optional(map(integer), { description: 'Whole numbers of any size.' }),
    labels: optional(set(string)),
    extra: optional(dynamic, { description: 'Any value.' }),
    id: computed(string, { description: 'Stays the same until the file is replaced.', stable: true }),
    revision: computed(integer, { description: 'How often the file was written.' }),
  },
  blocks: {
    section: blocks('list', {
      description: 'In this order.',
      min: 1,
      attributes: {
        heading: required(string, { check: heading => (heading.trim() === '' ? 'A heading needs letters.' : undefined) }),
        weight: defaulted(number, 1, { check: weight => (weight < 0 ? `${weight} is less than nothing.` : undefined) }),
        anchor: either(string, { description: 'Made of the heading unless it is given.' }),
      },
      blocks: { link: blocks('set', { attributes: { url: required(string), text: optional(string) } }) },
    }),
  },
})

type Document = typeof document

const MODE = '0644'

export class DocumentFile implements Resource<Document, Workspace> {
  readonly schema = document

  plan({ planned, prior }: Plan<Document>): void {
    const { section } = planned
    if (section instanceof Unknown) return
    planned.section = section.map(each => {
      const anchor = each.anchor instanceof Unknown && typeof each.heading === 'string' ? anchorOf(each.heading) : each.anchor
      return { ...each, anchor }
    })
    if (planned.revision instanceof Unknown) planned.revision = (prior?.revision ?? 0n) + 1n
  }

  async create(planned: Planned<Document>, context: ResourceContext<Workspace>): Promise<State<Document>> {
    if ((await context.client.read(planned.path)) !== undefined) {
      throw new ProviderError(`${planned.path} exists already`, {
        detail: `Remove the file or bring it under Terraform: terraform import <address> ${planned.path}`,
        path: ['path'],
      })
    }
    return this.#write(planned, randomUUID(), context)
  }

  update(planned: Planned<Document>, prior: State<Document>, context: ResourceContext<Workspace>): Promise<State<Document>> {
    return this.#write(planned, prior.id, context)
  }

  async read(state: State<Document>, context: ResourceContext<Workspace>): Promise<State<Document> | null> {
    const found = await context.client.read(state.path)
    if (found === undefined) return null
    // Only this provider knows what it wrote: not part of the state that people see.
    if (context.private.get('digest') === digestOf(found.content)) return state
    context.warn(`${state.path} was changed by others`, { detail: 'The plan says what Terraform would change back.', path: ['path'] })
    return fromJson(parseJson(found.content.toString()), state)
  }

  async delete({ path }: State<Document>, { client }: ResourceContext<Workspace>): Promise<void> {
    await client.remove(path)
  }

  async import(path: string, context: ResourceContext<Workspace>): Promise<State<Document> | null> {
    const found = await context.client.read(path)
    if (found === undefined) return null
    context.private.set('digest', digestOf(found.content))
    return fromJson(parseJson(found.content.toString()), { path, id: randomUUID(), revision: 1n, extra: null })
  }

  upgrade(state: Json): State<Document> {
    const { name, ...rest } = state as { readonly [name: string]: Json }
    return fromJson({ ...rest, title: name ?? '' }, rest as never)
  }

  async #write(planned: Planned<Document>, id: string, context: ResourceContext<Workspace>): Promise<State<Document>> {
    const { revision } = planned
    const section = planned.section.map(each => {
      const anchor = typeof each.anchor === 'string' ? each.anchor : anchorOf(each.heading)
      return { ...each, anchor }
    })
    const state: State<Document> = { ...planned, section, id, revision: typeof revision === 'bigint' ? revision : 1n }
    const content = `${printJson(toJson(state))}\n`
    await context.client.write(state.path, content, MODE)
    context.private.set('digest', digestOf(content))
    return state
  }
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '')
}

function toJson({ path: _, id: _id, revision: _revision, extra, ...rest }: State<Document>): Json {
  return { ...rest, extra: extra === null ? null : (extra.value as Json) } as Json
}

/** What a file says, beside what only the state knows. */
function fromJson(json: Json, kept: Pick<State<Document>, 'path' | 'id' | 'revision'> & { extra: Dynamic | null }): State<Document> {
  const { title, author, limits, labels, extra, section } = json as { readonly [name: string]: Json }
  if (typeof title !== 'string') throw new ProviderError(`${kept.path} is no document`, { detail: 'It has no title.' })
  const whole = (value: unknown) => BigInt(value as number | bigint)
  return {
    ...kept,
    title,
    author: author == null ? null : { mail: null, ...(author as { name: string }) },
    limits: limits == null ? null : Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, whole(value)])),
    labels: (labels as readonly string[] | undefined) ?? null,
    extra: extra === undefined ? null : like(extra, kept.extra),
    section: ((section ?? []) as readonly Partial<State<Document>['section'][number]>[]).map(({ heading = '', weight, anchor, link }) => ({
      heading,
      weight: Number(weight ?? 1),
      anchor: anchor ?? anchorOf(heading),
      link: (link ?? []).map(({ url, text }) => ({ url, text: text ?? null })),
    })),
  }
}

/** JSON knows no lists and maps: what still fits the type from before keeps it. */
function like(json: Json, before: Dynamic | null): Dynamic | null {
  const suggested = dynamicOfJson(json)
  if (before === null || suggested === null) return suggested
  try {
    return Object.assign(Object.create(Object.getPrototypeOf(before)), { type: before.type, value: valueOfJson(json, before.type) })
  } catch {
    // Another type by now.
    return suggested
  }
}
