// Runs a host of the interop tests against a plugin and reads its verdicts. Every host, in whatever language, takes the same flags and
// prints one line of JSON for each check.

import { spawn } from 'node:child_process'

/** What a host says of one check. */
export interface Verdict {
  readonly check: string
  readonly ok: boolean
  /** Why it does not apply here; such a verdict is `ok`. */
  readonly skip?: string
  readonly detail?: string
  readonly ms: number
}

/** Two minutes: checks that wait for a broker or for a plugin that lingers take seconds each. */
const PATIENCE_MS = 120_000

/**
 * Runs a host to its end.
 *
 * @param command The host with its flags, and the plugin's command.
 * @throws When it ends without a summary, with what it wrote to stderr.
 */
export async function runBattery(command: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Verdict[]> {
  const [program, ...rest] = command as [string, ...string[]]
  const child = spawn(program, rest, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const end = await new Promise<string>((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve(signal ?? `code ${code}`))
  })
  const lines = stdout.split('\n').filter(line => line.startsWith('{'))
  const verdicts = lines.map(line => JSON.parse(line) as Verdict & { readonly summary?: true })
  if (!verdicts.some(verdict => verdict.summary)) {
    throw new Error(`${command.join(' ')} ended with ${end} and no summary\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`)
  }
  return verdicts.filter(verdict => !verdict.summary)
}
