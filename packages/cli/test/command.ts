// Runs the built command as a user does.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root: string = fileURLToPath(new URL('../../../..', import.meta.url))
export const bin: string = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: Record<string, string | undefined>
  readonly cwd?: string
  /** Sends SIGINT when this was written. */
  readonly interruptAt?: string
}

/** The environment without what the test runner and this machine put there. */
export function cleanEnvironment(): Record<string, string | undefined> {
  return {
    ...process.env,
    NODE_TEST_CONTEXT: undefined,
    NODE_EXTRA_CA_CERTS: undefined,
    NODE_OPTIONS: undefined,
    NO_COLOR: undefined,
    FORCE_COLOR: undefined,
  }
}

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

export function plugwire(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run(bin, args, options)
}

export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd, env: { ...cleanEnvironment(), ...options.env } })
    let stdout = ''
    let stderr = ''
    let interrupted = false
    const look = (): void => {
      if (interrupted || options.interruptAt === undefined || !(stdout + stderr).includes(options.interruptAt)) return
      interrupted = true
      child.kill('SIGINT')
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      look()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
      look()
    })
    child.stdin.on('error', () => {}) // A command that reads no stdin may be gone before it is written.
    child.stdin.end(options.input ?? '')
    child.on('error', reject).on('close', code => resolve({ code, stdout, stderr }))
  })
}

/** Values of one JSON document a line. */
export const lines = (text: string): unknown[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as unknown)

export const versionOf = (file: string): string => (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
