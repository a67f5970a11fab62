// Starts of verified programs beside plain starts of the same, and the first verification beside reading and hashing a file once.

import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { launch, type PluginSource, type VerifiedProgram, verifyProgram } from 'plugwire/host'
import type { Figures, Peer } from '../harness/subject.ts'
import { echo } from '../plugwire/contract.ts'

const MIB = 1024 * 1024
const directory = join(tmpdir(), `plugwire-bench-${process.pid}`)
const verified = new Map<string, Promise<VerifiedProgram>>()
let bundle: Promise<string> | undefined

/** `script`, `native-20` or `native-90`; with `-plain` behind it started by its path. */
export async function open(variant: string): Promise<Peer> {
  const plain = variant.endsWith('-plain')
  const what = plain ? variant.slice(0, -'-plain'.length) : variant
  const file = await fileOf(what)
  const program = plain ? file : await verifiedOnce(what, file)
  // A shell that becomes the plugin: a native program of any size.
  const command: PluginSource =
    what === 'script' ? program : { command: program, args: ['-c', 'exec "$0" "$1"', process.execPath, await scriptBundle()] }
  const plugin = await launch(echo, command, { inheritEnv: 'strict' })
  const remote = await plugin.dispense('echo')
  return {
    pid: plugin.pid,
    echo: value => remote.echo(value),
    echoRecord: value => remote.echoRecord(value),
    echoBytes: bytes => remote.echoBytes(bytes),
    close: async () => void (await plugin.kill()),
  }
}

/** The first verification of a file; with `-plain`: reading and hashing it. */
export async function verify(variant: string): Promise<Figures> {
  const plain = variant.endsWith('-plain')
  const file = await fileOf(plain ? variant.slice(0, -'-plain'.length) : variant)
  const digest = await hashOf(file)
  const started = performance.now()
  // Closing is not a part of the first start.
  const program = plain ? void (await hashOf(file)) : await verifyProgram(file, { algorithm: 'sha256', digest })
  const ms = performance.now() - started
  program?.close()
  return { ms }
}

async function hashOf(file: string): Promise<Buffer> {
  const hash = createHash('sha256')
  const handle = await openFile(file)
  const buffer = Buffer.allocUnsafe(MIB)
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, MIB, null)
    if (bytesRead === 0) break
    hash.update(buffer.subarray(0, bytesRead))
  }
  await handle.close()
  return hash.digest()
}

function verifiedOnce(what: string, file: string): Promise<VerifiedProgram> {
  let made = verified.get(what)
  if (made === undefined) {
    made = hashOf(file).then(digest => verifyProgram(file, { algorithm: 'sha256', digest }))
    verified.set(what, made)
  }
  return made
}

async function fileOf(what: string): Promise<string> {
  if (what === 'script') return await scriptBundle()
  const bytes = Number(what.slice('native-'.length)) * MIB
  const file = join(directory, what)
  if (existsSync(file)) return file
  mkdirSync(directory, { recursive: true })
  copyFileSync('/bin/sh', file)
  truncateSync(file, bytes)
  chmodSync(file, 0o755)
  return file
}

function scriptBundle(): Promise<string> {
  bundle ??= (async () => {
    mkdirSync(directory, { recursive: true })
    const outfile = join(directory, 'plugin.mjs')
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('../plugwire/plugin.js', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      write: false,
      logLevel: 'error',
    })
    writeFileSync(outfile, (outputFiles[0] as { contents: Uint8Array }).contents)
    return outfile
  })()
  return bundle
}
