// Somebody with a home of their own, who trusts the publisher and uses the program.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defaultTrustFile, trustKey, updateTrustFile } from '@plugwire/trust'

const program = fileURLToPath(new URL('acme.js', import.meta.url))

export class User {
  readonly #name: string
  /** What stands in this user's environment. */
  readonly env: Readonly<Record<string, string>>

  constructor(name: string, workplace: string, registry: string) {
    this.#name = name
    const home = join(workplace, name)
    const [data, config] = [join(home, 'data'), join(home, 'config')]
    this.env = { XDG_DATA_HOME: data, XDG_CONFIG_HOME: config, APPDATA: config, npm_config_registry: registry }
  }

  get lockFile(): string {
    return join(this.env['XDG_DATA_HOME'] as string, 'acme', 'plugwire.lock')
  }

  get store(): string {
    return join(this.env['XDG_DATA_HOME'] as string, 'plugwire', 'store')
  }

  get trustFile(): string {
    return defaultTrustFile(this.env)
  }

  /** As `plugwire trust add acme acme.pub --plugin '@acme/*'` does, when the fingerprint was compared. */
  async trust(key: string): Promise<this> {
    await updateTrustFile(trust => trustKey(trust, { publisher: 'acme', key, basis: 'configured', plugins: ['@acme/*'] }), this.trustFile)
    return this
  }

  /** Types a command, and shows what this user sees. */
  async types(...args: readonly string[]): Promise<void> {
    console.log(`${this.#name}$ acme ${args.join(' ')}`)
    const env = { ...process.env, ...this.env }
    const code = await new Promise<number>(resolve => {
      execFile(process.execPath, [program, ...args], { env }, (failure, stdout, stderr) => {
        const seen = (stderr + stdout).replace(/SHA256:[\w+/]+/g, 'SHA256:…').trimEnd()
        console.log(seen.replace(/^/gm, '  '))
        resolve(failure === null ? 0 : Number(failure.code))
      })
    })
    if (code !== 0) console.log(`  exit code ${code}`)
  }
}
