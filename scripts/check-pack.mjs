// Packs every package that is published and looks at the tarballs as a stranger would: what is in them, how big, does each export load
// and have types, do strict consumers compile against it. Needs `npm run build` before; uses no network.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readWorkspaces, root, targetsOf } from './workspaces.mjs'

/** KiB of JavaScript without source maps, unpacked. */
const budgets = {
  plugwire: 330,
  '@plugwire/grpc': 120,
  '@plugwire/testing': 200,
  '@plugwire/cli': 200,
  '@plugwire/netrpc': 125,
  '@plugwire/trust': 110,
  '@plugwire/store': 180,
}

const complaints = []
const directory = await mkdtemp(join(tmpdir(), 'plugwire-pack-'))
try {
  const published = (await readWorkspaces()).filter(w => !w.manifest.private)
  const consumer = join(directory, 'consumer')
  for (const workspace of published) {
    const { name } = workspace.manifest
    if (!existsSync(join(workspace.directory, 'dist'))) {
      complaints.push(`${name}: nothing is built`)
      continue
    }
    const tarball = await pack(workspace)
    const unpacked = join(consumer, 'node_modules', name)
    await mkdir(unpacked, { recursive: true })
    await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1'])
    await checkContent(workspace, unpacked, tarball)
    await Promise.all([
      tool(name, 'publint', 'publint/package.json', ['run', tarball, '--strict']),
      tool(name, 'attw', '@arethetypeswrong/cli/package.json', [tarball, '--profile', 'esm-only', '--no-color', '--format', 'ascii']),
    ])
    for (const dependency of Object.keys(workspace.manifest.dependencies ?? {})) {
      if (!published.some(w => w.manifest.name === dependency)) await link(dependency, workspace, consumer)
    }
  }
  await checkConsumer(published, consumer)
} finally {
  await rm(directory, { recursive: true, force: true })
}

for (const complaint of complaints) console.error(`pack: ${complaint}`)
console.log(`pack: ${complaints.length === 0 ? 'ok' : `${complaints.length} wrong`}`)
process.exitCode = complaints.length === 0 ? 0 : 1

async function pack(workspace) {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', directory], { cwd: workspace.directory })
  const told = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)))
  const [{ filename }] = Array.isArray(told) ? told : Object.values(told)
  return join(directory, filename.replace('@', '').replace('/', '-'))
}

async function checkContent({ directory: source, manifest }, unpacked, tarball) {
  const { name } = manifest
  const files = (await readdir(unpacked, { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile())
    .map(entry => posix.join(entry.parentPath.slice(unpacked.length + 1), entry.name))
  for (const target of targetsOf(manifest)) {
    if (!files.includes(target.slice(2))) complaints.push(`${name}: ${target} of package.json is not in the tarball`)
  }
  for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
    if (typeof target !== 'string' && !target.types) complaints.push(`${name}: the export ${subpath} has no types`)
  }
  for (const file of files) {
    if (/(?:^|\/)(?:test|build|node_modules)\/|\.test\.|\.tsbuildinfo$|\.tmp$/.test(file))
      complaints.push(`${name}: ${file} does not belong into the tarball`)
  }
  for (const needed of ['LICENSE', 'package.json', 'README.md'])
    if (!files.includes(needed)) complaints.push(`${name}: ${needed} is not in the tarball`)
  if (name === 'plugwire' && Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).length > 0) {
    complaints.push(`${name}: the core has no dependencies, yet package.json names some`)
  }
  await checkLeftovers(source, name, files)
  const sizes = await Promise.all(files.map(async file => ({ file, bytes: (await stat(join(unpacked, file))).size })))
  const sum = pattern => sizes.filter(({ file }) => pattern.test(file)).reduce((total, { bytes }) => total + bytes, 0) / 1024
  const code = sum(/\.js$/)
  const budget = budgets[name]
  if (budget === undefined) complaints.push(`${name}: has no budget in check-pack.mjs`)
  else if (code > budget) complaints.push(`${name}: ${code.toFixed(1)} KiB of JavaScript, the budget is ${budget} KiB`)
  const kib = number => `${number.toFixed(1)} KiB`
  console.log(
    `pack: ${name}: ${files.length} files; ${kib(code)} JavaScript (budget ${budget} KiB), ${kib(sum(/\.d\.ts$/))} types, ${kib(sum(/\.map$/))} maps; ` +
      `tarball ${kib((await stat(tarball)).size / 1024)}`,
  )
}

/** A build replaces what it writes but leaves what it no longer writes. */
async function checkLeftovers(source, name, files) {
  const { outputs } = JSON.parse(await readFile(join(source, 'build', 'bundle.meta.json'), 'utf8'))
  for (const file of files) {
    const declared = /^dist\/types\/(.+)\.d\.ts$/.exec(file)?.[1]
    const stale = declared ? !existsSync(join(source, 'src', `${declared}.ts`)) : /^dist\/.*\.js$/.test(file) && !(file in outputs)
    if (stale) complaints.push(`${name}: ${file} is left over from an earlier build (npm run build -- --clean)`)
  }
}

/** Runs one checker; what it says is shown only when it is not content. */
async function tool(name, command, manifestPath, args) {
  const manifest = JSON.parse(await readFile(join(root, 'node_modules', manifestPath), 'utf8'))
  const script = join(root, 'node_modules', dirname(manifestPath), manifest.bin[command])
  const failed = await run(process.execPath, [script, ...args]).then(
    () => undefined,
    error => error,
  )
  if (failed) complaints.push(`${name}: ${command} says:\n${failed.stdout}${failed.stderr}`)
}

/** A project that has installed the tarballs: every entry loads, and strict code against it compiles both ways of resolution. */
async function checkConsumer(published, consumer) {
  await link('@types/node', undefined, consumer)
  await link('undici-types', undefined, consumer)
  const entries = published.flatMap(({ manifest }) =>
    Object.entries(manifest.exports ?? {})
      .filter(([, target]) => typeof target !== 'string')
      .map(([subpath]) => posix.join(manifest.name, subpath)),
  )
  await writeFile(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  for (const entry of entries) {
    const program = `const names = Object.keys(await import('${entry}')); if (names.length === 0) throw new Error('exports nothing')`
    await run(process.execPath, ['--input-type=module', '-e', program], { cwd: consumer }).catch(error =>
      complaints.push(`${entry} does not load: ${error.stderr.trim()}`),
    )
  }
  for (const { manifest } of published) {
    for (const [command, file] of Object.entries(manifest.bin ?? {})) {
      const path = join(consumer, 'node_modules', manifest.name, file)
      await run(path, ['--help'], { cwd: consumer }).catch(error =>
        complaints.push(`${command} --help fails: ${error.stderr || error.message}`),
      )
    }
  }
  const program = [
    `import { contract } from 'plugwire'`,
    `import { launch } from 'plugwire/host'`,
    `interface Greeter { greet(name: string): Promise<string> }`,
    `const greeting = contract<{ greeter: Greeter }>({ name: 'greeting', version: 1 })`,
    `export async function main(): Promise<string> {`,
    `  await using plugin = await launch(greeting, './greeter.js')`,
    `  await using greeter = await plugin.dispense('greeter')`,
    `  // @ts-expect-error greet wants a string: were the types lost, this would be no error`,
    `  await greeter.greet(1)`,
    `  return await greeter.greet('world')`,
    `}`,
    ...entries.map((entry, i) => `import * as entry${i} from '${entry}'\nvoid entry${i}`),
  ]
  await writeFile(join(consumer, 'consumer.ts'), program.join('\n'))
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))
  const ways = [
    { module: 'nodenext', moduleResolution: 'nodenext' },
    { module: 'esnext', moduleResolution: 'bundler' },
  ]
  for (const way of ways) {
    const compilerOptions = {
      ...way,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
    }
    const file = `tsconfig.${way.moduleResolution}.json`
    await writeFile(join(consumer, file), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
    await run(process.execPath, [tsc, '-p', file], { cwd: consumer }).catch(error =>
      complaints.push(`a consumer does not compile with moduleResolution ${way.moduleResolution}:\n${error.stdout}`),
    )
  }
}

/** A workspace has a dependency to itself when another one needs another version of it. */
async function link(dependency, workspace, consumer) {
  const path = join(consumer, 'node_modules', dependency)
  if (existsSync(path)) return
  await mkdir(dirname(path), { recursive: true })
  const own = workspace && join(workspace.directory, 'node_modules', dependency)
  await symlink(own && existsSync(own) ? own : join(root, 'node_modules', dependency), path, 'dir')
}

async function run(command, args, settings = {}) {
  const env = { ...process.env, npm_config_loglevel: 'error' }
  return promisify(execFile)(command, args, { maxBuffer: 1 << 26, env, ...settings })
}
