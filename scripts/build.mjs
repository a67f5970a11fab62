// Builds every workspace: tsc checks types and emits modules and declarations, rolldown bundles what is published.
//
//   <workspace>/build/src, build/test   every module by itself, for tests of internals (examples, bench: <workspace>/build)
//   <package>/dist/types                declarations, written by tsc straight to where package.json's exports point
//   <package>/dist/*.js                 one bundle per export, with shared chunks
//
// Options: --clean     remove all output first
//          --emit-anyway   exit 0 although there were type errors (output is written either way)

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { rolldown } from 'rolldown'
import { chunkNames } from './chunks.mjs'
import { readWorkspaces, root, targetsOf } from './workspaces.mjs'

const { values: options } = parseArgs({
  options: { clean: { type: 'boolean', default: false }, 'emit-anyway': { type: 'boolean', default: false } },
})

const started = performance.now()
const unlock = await lock(join(root, 'node_modules', '.cache', 'plugwire-build.lock'))
try {
  const workspaces = await readWorkspaces()
  if (options.clean) {
    for (const { directory } of workspaces) {
      await rm(join(directory, 'build'), { recursive: true, force: true })
      await rm(join(directory, 'dist'), { recursive: true, force: true })
    }
  }
  const [types, ...bundles] = await Promise.all([compile(workspaces), ...workspaces.map(bundle)])
  const written = bundles.reduce((sum, n) => sum + (n ?? 0), 0)
  const whole = types && !bundles.includes(undefined)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(
    `build: ${types ? 'types ok' : 'TYPE ERRORS (output is written all the same)'}, ${whole || !types ? '' : 'BUNDLE ERRORS, '}${written} bundled files changed, ${seconds} s`,
  )
  if (!whole && !options['emit-anyway']) process.exitCode = 1
} finally {
  await unlock()
}

/** Type-checks and emits all projects, in the order of their references. Resolves to false when there were errors. */
async function compile(workspaces) {
  const projects = workspaces.flatMap(w => [w.directory, join(w.directory, 'test')]).filter(hasSources)
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))
  const child = spawn(process.execPath, [tsc, '-b', '--pretty', String(process.stdout.isTTY === true), ...projects], {
    cwd: root,
    stdio: 'inherit',
  })
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve))
  return code === 0
}

/** A project that has no source yet would be an error for tsc. */
function hasSources(directory) {
  if (!existsSync(join(directory, 'tsconfig.json'))) return false
  return readdirSync(directory, { recursive: true }).some(file => /^(?!.*(?:node_modules|build|dist)[/\\]).*(?<!\.d)\.ts$/.test(file))
}

/** Bundles the exports and commands of one package; resolves to the number of files that changed, undefined when it failed. */
async function bundle(workspace) {
  if (workspace.manifest.private) return 0
  const entryPoints = {}
  for (const target of targetsOf(workspace.manifest)) {
    const name = /^\.\/dist\/(.+)\.js$/.exec(target)?.[1]
    const source = name && [`src/${name}.ts`, `src/${name}/index.ts`].find(file => existsSync(join(workspace.directory, file)))
    if (source) entryPoints[name] = join(workspace.directory, source)
  }
  if (Object.keys(entryPoints).length === 0) return 0
  const src = join(workspace.directory, 'src')
  const entries = Object.values(entryPoints).map(file => relative(src, file).split(sep).join('/'))
  const bundled = await rolldown({
    cwd: workspace.directory,
    input: entryPoints,
    platform: 'node',
    external: id => !id.startsWith('.') && !isAbsolute(id),
    plugins: workspace.manifest.name === 'plugwire' ? [builtinModules()] : [],
    transform: { target: 'node20.19' },
    tsconfig: false,
    preserveEntrySignatures: 'allow-extension',
    logLevel: 'warn',
  })
  const result = await bundled
    .generate({
      dir: 'dist',
      format: 'esm',
      sourcemap: true,
      // Short names inside functions are read faster at each start; lines and all names that a stack shows stay: docs/decisions/start-up.md.
      minify: { compress: false, mangle: { toplevel: false }, codegen: { removeWhitespace: false } },
      comments: false,
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name]-[hash].js',
      ...(workspace.manifest.name === 'plugwire' && {
        codeSplitting: { includeDependenciesRecursively: false, groups: [{ debugName: 'start', name: chunkNames(src, entries) }] },
      }),
    })
    .catch(error => console.error(error.message)) // undefined
    .finally(() => bundled.close())
  if (!result) return undefined
  await mkdir(join(workspace.directory, 'build'), { recursive: true })
  await writeFile(join(workspace.directory, 'build', 'bundle.meta.json'), JSON.stringify(summaryOf(result.output), undefined, 1))
  const commands = targetsOf({ bin: workspace.manifest.bin }).map(target => join(workspace.directory, target))
  let changed = 0
  for (const file of result.output) {
    const path = join(workspace.directory, 'dist', file.fileName)
    const contents = file.type === 'chunk' ? Buffer.from(ascii(file.code), 'latin1') : Buffer.from(file.source)
    if (await writeWhenChanged(path, contents, commands.includes(path) ? 0o755 : 0o644)) changed++
  }
  return changed
}

/**
 * Takes built-in modules from `process.getBuiltinModule`: as an import statement each costs a start 0.15 ms more, since Node makes an
 * ES module of it with all its names. It reads the statements as the formatter writes them.
 */
function builtinModules() {
  return {
    name: 'builtin-modules',
    transform: {
      filter: { id: /\.ts$/, code: /from 'node:/ },
      handler: code => ({
        map: null, // Lines stay lines.
        code: code.replace(/^import (?!type )(?:\* as (\w+)|\{([^}]*)\}) from '(node:[^']+)'/gm, (_, all, names, module) => {
          const bound = all ?? `{${names.replace(/\btype [^,}]+,?/g, '').replace(/(\w) as (\w)/g, '$1: $2')}}`
          return `const ${bound} = /* @__PURE__ */ process.getBuiltinModule('${module}')`
        }),
      }),
    },
  }
}

/**
 * One character beyond Latin-1 makes V8 keep a whole file with two bytes each, which costs twice the memory and time at every start.
 * Outside of comments they stand in strings, templates and patterns, where an escape means the same.
 */
function ascii(code) {
  return code.replace(/[\u0080-\uffff]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** How large each file is and which it imports, at once or lazily: for check-layers.mjs and check-pack.mjs. */
function summaryOf(output) {
  const chunks = output.filter(file => file.type === 'chunk')
  const named = files => files.map(file => (chunks.some(({ fileName }) => fileName === file) ? `dist/${file}` : file))
  const summaries = chunks.map(({ fileName, code, imports, dynamicImports, moduleIds }) => [
    `dist/${fileName}`,
    { bytes: Buffer.byteLength(code), imports: named(imports), lazy: named(dynamicImports), modules: moduleIds.length },
  ])
  return { outputs: Object.fromEntries(summaries) }
}

/** Replaces a file in one step, so that a program that is just starting never reads half of it. */
async function writeWhenChanged(path, contents, mode) {
  const before = await readFile(path).catch(() => undefined)
  if (before?.equals(contents)) return false
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}.tmp`
  await writeFile(temporary, contents, { mode })
  await rename(temporary, path)
  return true
}

/** Two builds at once would tear each other's output: the second waits until the first is done or gone. */
async function lock(path) {
  await mkdir(dirname(path), { recursive: true })
  for (let told = false; ; ) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => '0'))
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now())
    if ((owner > 0 && !isAlive(owner)) || age > 120_000) await rm(path, { force: true })
    else if (!told) {
      console.log(`build: waiting for another build (process ${owner}, ${relative(root, path)})`)
      told = true
    }
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
