// The publisher's side: bundle, pack, sign, and an npm package of it.

import { execFile } from 'node:child_process'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pack } from '@plugwire/store'
import type { SecretKey } from '@plugwire/trust'
import { build } from 'esbuild'

export const NAME = '@acme/aws-plugin'

/** A release on its way: everything that goes into the package. */
export interface Draft {
  readonly version: string
  readonly directory: string
  /** The file with the plugin's code, as users will run it. */
  readonly code: string
}

// #region release
export async function release(version: string, key: SecretKey, workplace: string): Promise<Draft> {
  const code = join(workplace, 'build', version, 'aws.js')
  await build({
    entryPoints: [fileURLToPath(new URL('aws.js', import.meta.url))],
    outfile: code,
    bundle: true,
    platform: 'node',
    format: 'esm',
    define: { VERSION: JSON.stringify(version) },
    logLevel: 'warning',
  })
  const { manifestPath, manifest } = await pack({
    name: NAME,
    version,
    contract: { name: 'plugwire-command', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'acme' },
    builds: { any: { path: code } },
    out: join(workplace, 'release'),
  })
  await writeFile(`${manifestPath}${key.signatureEnding}`, key.sign(await readFile(manifestPath)))
  const directory = dirname(manifestPath)
  await writeFile(join(directory, 'package.json'), JSON.stringify({ name: NAME, version, type: 'module' }))
  return { version, directory, code: join(directory, manifest.platforms['any']?.entry ?? '') }
}
// #endregion

/** What `npm publish` would send. @returns The path of the tarball. */
export async function npmPackage({ directory }: Draft, destination: string): Promise<string> {
  await mkdir(destination, { recursive: true })
  const { stdout } = await promisify(execFile)('npm', ['pack', '--json', '--offline', '--pack-destination', destination], {
    cwd: directory,
    shell: process.platform === 'win32',
  })
  const [packed] = JSON.parse(stdout) as { filename: string }[]
  return join(destination, packed?.filename.replace('@', '').replace('/', '-') ?? '')
}

/** What somebody does who has got hold of the registry, but not of the key. */
export async function tamper({ code }: Draft): Promise<void> {
  await appendFile(code, '\nconsole.log("all your credentials")\n')
}
