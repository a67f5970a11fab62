// Runs terraform, or tofu where that is what there is, in a directory of its own and without the network.

import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'

export interface Run {
  readonly code: number | null
  /** Both outputs as they came. */
  readonly output: string
}

/** `terraform` or `tofu` from the path, else an OpenTofu built from its sources, which takes minutes once. Undefined where there is no Go either. */
export async function findTerraform(): Promise<string | undefined> {
  for (const program of ['terraform', 'tofu']) {
    const found = await promisify(execFile)(program, ['version'], { env: environment({}) }).catch(() => undefined)
    if (found !== undefined) return program
  }
  const { buildOpenTofu, skipUnlessBuilt } = await import('plugwire-interop/real')
  let built: string | undefined
  await skipUnlessBuilt(async () => {
    built = await buildOpenTofu()
  })
  return built
}

/** A directory with a configuration and whatever Terraform keeps there. */
export class Stage {
  readonly directory: string
  readonly #program: string
  #installation = ''

  private constructor(program: string, directory: string) {
    this.#program = program
    this.directory = directory
  }

  static async create(program: string): Promise<Stage> {
    return new Stage(program, await mkdtemp(join(tmpdir(), 'plugwire-terraform-')))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true })
  }

  /** @param name Ends with `.tf` or `.tf.json`. */
  configure(name: string, content: string): Promise<void> {
    return writeFile(join(this.directory, name), content)
  }

  /** Takes the provider from a directory, as it lies there: no init, no lock file. */
  override(address: string, directory: string): void {
    this.#installation = `dev_overrides { ${JSON.stringify(address)} = ${JSON.stringify(directory)} }`
  }

  /** Lets `init` install providers from a directory, as from a registry. */
  mirror(directory: string): void {
    this.#installation = `filesystem_mirror { path = ${JSON.stringify(directory)} }`
  }

  async run(args: readonly string[], variables?: NodeJS.ProcessEnv): Promise<Run> {
    const child = this.start(args, variables)
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve)),
    ])
    return { code, output: stdout + stderr }
  }

  start(args: readonly string[], variables: NodeJS.ProcessEnv = {}): ChildProcessByStdio<null, Readable, Readable> {
    const settings = join(this.directory, 'settings.tfrc')
    writeFileSync(settings, `disable_checkpoint = true\nprovider_installation {\n  ${this.#installation}\n}\n`)
    return spawn(this.#program, args, {
      cwd: this.directory,
      env: environment({ TF_CLI_CONFIG_FILE: settings, ...variables }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }
}

/** The environment of this process, without what would change how Terraform works. */
function environment(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TF_'))
  return { ...Object.fromEntries(kept), CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1', ...variables }
}
