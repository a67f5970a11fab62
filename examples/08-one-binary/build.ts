// Makes one file of the program: a module, or an executable that needs no Node.
//
//   node examples/build/08-one-binary/build.js <directory>

import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { argv, execPath, platform } from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'

const run = promisify(execFile)
const program = fileURLToPath(new URL('program.js', import.meta.url))

// #region bundle
/** @returns The path of one module with everything in it. */
export async function bundle(directory: string): Promise<string> {
  const outfile = join(directory, 'program.mjs')
  await build({ entryPoints: [program], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node20.19', logLevel: 'warning' })
  return outfile
}
// #endregion

/** What an executable of Node has inside when a program can be put into it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

/** Why this runtime cannot be made a single executable; undefined when it can. */
export async function noExecutable(): Promise<string | undefined> {
  if ('bun' in process.versions || 'deno' in process.versions) return 'this runtime has its own `compile`'
  return (await readFile(execPath)).includes(FUSE) ? undefined : `${execPath} was built without support for single executables`
}

// #region executable
/** @returns The path of an executable with Node and everything in it. */
export async function executable(directory: string, entry = program): Promise<string> {
  const at = (name: string): string => join(directory, name)
  await build({
    entryPoints: [entry],
    outfile: at('program.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    // In a single executable only `require` finds Node's own modules.
    supported: { 'dynamic-import': false },
    logLevel: 'warning',
  })
  const config = { main: at('program.cjs'), output: at('program.blob'), disableExperimentalSEAWarning: true }
  await writeFile(at('sea.json'), JSON.stringify(config))
  await run(execPath, ['--experimental-sea-config', at('sea.json')])

  const outfile = at(platform === 'win32' ? 'text.exe' : 'text')
  await copyFile(execPath, outfile)
  await chmod(outfile, 0o755)
  const postject = fileURLToPath(import.meta.resolve('postject/dist/cli.js'))
  if (platform === 'darwin') await run('codesign', ['--remove-signature', outfile])
  const segment = platform === 'darwin' ? ['--macho-segment-name', 'NODE_SEA'] : []
  await run(execPath, [postject, outfile, 'NODE_SEA_BLOB', at('program.blob'), '--sentinel-fuse', FUSE, ...segment])
  if (platform === 'darwin') await run('codesign', ['--sign', '-', outfile])
  return outfile
}
// #endregion

if (import.meta.url === new URL(argv[1] ?? '', 'file:').href) {
  const [, , directory] = argv
  if (directory === undefined) throw new Error('name the directory that the files are to be put in')
  await mkdir(directory, { recursive: true })
  console.log(await bundle(directory))
  console.log((await noExecutable()) ?? (await executable(directory)))
}
