// gRPC with our host: as a user would launch it, with AutoMTLS, and with plugins bundled to one file.

import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { type LaunchOptions, launch } from 'plugwire/host'
import { bytesOf, chunkBytes } from '../harness/samples.ts'
import type { Peer } from '../harness/subject.ts'
import { grpcEcho } from './contract.ts'

const own = fileURLToPath(new URL('./plugin.js', import.meta.url))
const proto = fileURLToPath(new URL('../../peers/echo.proto', import.meta.url))

const variants: Readonly<Record<string, { readonly file: () => string | Promise<string>; readonly options: LaunchOptions }>> = {
  plain: { file: () => own, options: { tls: false } },
  tls: { file: () => own, options: { tls: true } },
  bundled: { file: () => bundled('plugin'), options: { tls: false } },
  // grpc-js in go-plugin's clothes: what one would write without plugwire.
  'bundled-grpc-js': { file: () => bundled('plain-plugin'), options: { tls: false } },
}

export async function open(variant: string): Promise<Peer> {
  const chosen = variants[variant]
  if (chosen === undefined) throw new Error(`no variant ${variant}`)
  const plugin = await launch(grpcEcho, await chosen.file(), { ...chosen.options, logger: false, env: { BENCH_ECHO_PROTO: proto } })
  const remote = await plugin.dispense('echo')
  return {
    pid: plugin.pid,
    echo: value => remote.small(value),
    echoRecord: value => remote.record(value),
    echoBytes: async bytes => (await remote.bytes({ data: bytes })).data,
    async upload(totalBytes) {
      const chunk = { data: bytesOf(chunkBytes) }
      async function* chunks() {
        for (let left = totalBytes; left > 0; left -= chunkBytes) yield chunk
      }
      const { bytes } = await remote.upload(chunks())
      if (bytes !== totalBytes) throw new Error(`${bytes} bytes arrived of ${totalBytes}`)
    },
    async download(totalBytes) {
      let counted = 0
      for await (const { data } of remote.download({ bytes: totalBytes })) counted += data.length
      if (counted !== totalBytes) throw new Error(`${counted} bytes arrived of ${totalBytes}`)
    },
    close: async () => void (await plugin.kill()),
  }
}

const bundles = new Map<string, Promise<string>>()

/** One file, as a plugin is shipped. */
function bundled(name: string): Promise<string> {
  let made = bundles.get(name)
  if (made === undefined) bundles.set(name, (made = bundle(name)))
  return made
}

async function bundle(name: string): Promise<string> {
  const directory = join(tmpdir(), `plugwire-bench-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  const outfile = join(directory, `${name}.mjs`)
  await build({
    entryPoints: [fileURLToPath(new URL(`./${name}.js`, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    minify: true,
    logLevel: 'error',
    // What was written for CommonJS asks for Node's modules by `require`.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  return outfile
}
