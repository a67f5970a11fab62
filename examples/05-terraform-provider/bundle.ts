// Makes one executable file of the provider, with all that it imports: what is shipped.
//
//   node examples/build/05-terraform-provider/bundle.js <directory>

import { chmod, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { protocolSource } from './provider/proto/source.ts'

/** What Terraform looks for in a directory that stands in for an installed provider. */
export const PROGRAM = 'terraform-provider-files'

/** @returns The path of the file. */
export async function bundle(directory: string, name: string = PROGRAM): Promise<string> {
  const text = async (version: 5 | 6) => readFile(protocolSource(version), 'utf8')
  const outfile = join(directory, name)
  await mkdir(directory, { recursive: true })
  await build({
    entryPoints: [fileURLToPath(new URL('src/main.js', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    // Terraform's names for installed providers end like `_v1.2.3`, and Node takes a file with such an ending for CommonJS.
    format: 'cjs',
    define: { TFPLUGIN: JSON.stringify({ 5: await text(5), 6: await text(6) }) },
    // Not identifiers: names of functions stand in the stacks that Terraform shows when a provider fails.
    minifySyntax: true,
    minifyWhitespace: true,
    // Of an error that nobody catches Node shows the line, which had better not be the whole program.
    lineLimit: 160,
    legalComments: 'inline',
    // One of the ways to describe a service that @plugwire/grpc knows; this provider takes another.
    external: ['@bufbuild/protobuf'],
    logLevel: 'warning',
    // Of what stands in the bundle as text, nobody asks where it lay.
    logOverride: { 'empty-import-meta': 'silent' },
  })
  await chmod(outfile, 0o755)
  return outfile
}

if (import.meta.url === new URL(argv[1] ?? '', 'file:').href) {
  const [, , directory] = argv
  if (directory === undefined) throw new Error('name the directory that the file is to be put in')
  console.log(await bundle(directory))
}
