// The real tools that our signatures have to agree with, and a place for their files.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'

/** A directory that is gone when the file's tests are done. */
export function workspace(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `plugwire-trust-${name}-`))
  after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const onPath = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

/** `signify` is another program in Debian, where OpenBSD's is called signify-openbsd. */
export const signify: string | undefined = ['signify-openbsd', 'signify'].find(onPath)

/** For the options of a test: why it is skipped, or false. */
export const without = (command: string | undefined, name = command): string | false =>
  command !== undefined && onPath(command) ? false : `CI must not skip: ${name} is not installed`

/** Runs a tool to its end; throws with what it said. */
export function run(command: string, args: readonly string[], input = ''): string {
  return execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Whether a tool refuses. */
export const refuses = (command: string, args: readonly string[], input = ''): boolean => spawnSync(command, args, { input }).status !== 0

export const put = (directory: string, name: string, content: string | Uint8Array): string => {
  const path = join(directory, name)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

export const take = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
export const takeText = (path: string): string => readFileSync(path, 'utf8')
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

/** What an error must look like, for assert.throws and assert.rejects. */
export const refusal = (code: string, reason?: RegExp): object => (reason === undefined ? { code } : { code, message: reason })
