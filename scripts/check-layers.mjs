// Holds the real import graph against the layers of docs/architecture.md. It reads every source file, types included, because a type
// import is knowledge too, and the bundles, because what a plugin loads at its start is decided there.
//
// Prints one line for each arrow that points the wrong way and exits 1 when there was any.

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { dirname, join, posix, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { readWorkspaces } from './workspaces.mjs'

/** From left to right: a file may import from its own layer and from those to the left of it. `host` and `plugin` stand side by side. */
const rank = { base: 0, wire: 1, mux: 2, rpc: 3, index: 4, process: 4, host: 5, plugin: 5, program: 5, driver: 6, testing: 6 }

/** Only `process` may know these. */
const processOnly = new Set(['child_process', 'net', 'tls', 'dgram', 'http', 'https', 'http2', 'cluster', 'worker_threads'])

/** Layers that must run anywhere: no node: module at all, except the type of a buffer. */
const pure = new Set(['base', 'wire', 'mux', 'rpc', 'index'])

/** What is allowed all the same, and why. `from` is a file of the core's src, `to` a node: module or a file. */
const exceptions = [
  {
    from: 'wire/value-kinds.ts',
    to: 'node:util',
    reason: 'only the runtime can tell a proxy, or a Date of another realm, from a plain object; every runtime has it loaded anyway',
  },
  {
    from: 'rpc/byte-stream.ts',
    to: 'node:stream',
    reason: 'Node streams travel as byte streams; the module is fetched when the first one does',
  },
  { from: 'mux/duplex-link.ts', to: 'node:stream', reason: 'the types alone, of the streams that a link is made of' },
  { from: 'rpc/references.ts', to: 'node:stream', reason: 'the type alone, to hand Node streams over to byte-stream.ts' },
]

/** What `import 'plugwire/plugin'` may load at once: part of every Node start anyway, or the socket that a plugin needs. */
const pluginStart = new Set(['net', 'buffer', 'events', 'process', 'path', 'url', 'util', 'fs', 'os', 'timers', 'async_hooks', 'module'])

/** What must not even be loaded by way of something else while a plugin starts. */
const pluginNever = ['child_process', 'tls', 'crypto', 'http', 'https', 'http2', 'zlib', 'worker_threads', 'dgram']

/**
 * What a start may load of our own, in files and KiB of JavaScript: both are paid each time, and unlike milliseconds both can be counted.
 * docs/decisions/start-up.md tells what they cost.
 */
const startBudgets = [
  ['a plugin until it has introduced itself', ['index.js', 'plugin.js'], { files: 3, kib: 63 }],
  ['a plugin until its first call', ['index.js', 'plugin.js', 'chunks/core-'], { files: 4, kib: 195 }],
  ['a host until its plugin has been spawned', ['index.js', 'host.js'], { files: 4, kib: 103 }],
]

const complaints = []
const used = new Set()
const workspaces = await readWorkspaces()
const core = workspaces.find(w => w.manifest.name === 'plugwire')
const coreImports = await checkCore()
checkCycles(coreImports)
for (const workspace of workspaces) if (workspace !== core) await checkPackage(workspace)
await checkPluginStart()
for (const exception of exceptions) {
  if (!used.has(exception))
    complaints.push(`exception ${exception.from} -> ${exception.to} is no longer needed: remove it from check-layers.mjs`)
}

for (const complaint of complaints) console.error(`layers: ${complaint}`)
const arrows = [...coreImports.values()].reduce((sum, imports) => sum + imports.length, 0)
console.log(
  `layers: ${coreImports.size} files, ${arrows} imports in the core, ${complaints.length === 0 ? 'ok' : `${complaints.length} wrong`}`,
)
process.exitCode = complaints.length === 0 ? 0 : 1

/** Every file of the core's src with what it imports: `{ path, typeOnly, lazy }`, path relative to src or a module name. */
async function checkCore() {
  const src = join(core.directory, 'src')
  const graph = new Map()
  for (const file of sourcesOf(src)) {
    const imports = importsOf(await readFile(join(src, file), 'utf8'))
    for (const found of imports) if (found.path.startsWith('.')) found.path = posix.join(posix.dirname(file), found.path)
    graph.set(file, imports)
  }
  await compareWithCompiler(src, graph)
  for (const [file, imports] of graph) {
    const from = layerOf(file)
    if (from === undefined) complaints.push(`${file}: the folder ${file.split('/')[0]} is no layer`)
    else for (const { path } of imports) checkArrow(file, from, path, graph)
  }
  return graph
}

function checkArrow(file, from, path, graph) {
  const complain = why => {
    const exception = exceptions.find(e => e.from === file && e.to === path)
    if (exception) used.add(exception)
    else if (!complaints.includes(`${file} -> ${path}: ${why}`)) complaints.push(`${file} -> ${path}: ${why}`)
  }
  if (isBuiltin(path)) {
    const module = path.replace(/^node:/, '')
    if (!path.startsWith('node:')) complain('write node: in front of it')
    if (pure.has(from) && module !== 'buffer') complain(`the layer ${from} imports no node: module`)
    else if (from !== 'process' && processOnly.has(module.split('/')[0])) complain(`only process/ may import ${path}`)
    return
  }
  if (!graph.has(path))
    return complain(path.startsWith('..') ? 'leaves src' : path.endsWith('.ts') ? 'no such file' : 'the core has no dependencies')
  const to = layerOf(path)
  if (to === 'index') complain('nothing inside imports the public index')
  else if (from === 'base' ? to !== 'base' : rank[to] > rank[from]) complain(`${from} lies below ${to}`)
  else if (from !== to && rank[from] === rank[to]) complain(`${from} and ${to} stand side by side and must not know each other`)
}

/** esbuild sees the imports that are left when types are gone: the reading below must not have missed one of them. */
async function compareWithCompiler(src, graph) {
  if (graph.size === 0) return
  const result = await build({
    entryPoints: [...graph.keys()].map(file => join(src, file)),
    absWorkingDir: src,
    outdir: 'unused',
    write: false,
    metafile: true,
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    logLevel: 'silent',
  }).catch(({ errors }) => {
    for (const { text, location } of errors) complaints.push(`${location?.file}: ${text}`)
  })
  for (const [file, { imports }] of Object.entries(result?.metafile.inputs ?? {})) {
    for (const { path } of imports) {
      if (!graph.get(file)?.some(found => found.path === path)) complaints.push(`${file} -> ${path}: not seen in the source`)
    }
  }
}

/** Files that reach themselves again. A lazy import is no way out, a type import neither: both sides still have to be read together. */
function checkCycles(graph) {
  const done = new Set()
  const visit = (file, path) => {
    if (path.includes(file)) {
      complaints.push(`cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
      return
    }
    if (done.has(file)) return
    for (const { path: next } of graph.get(file) ?? []) if (graph.has(next)) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
}

/** Packages, examples and benchmarks know the core by its public subpaths, and other packages by what they declare. */
async function checkPackage({ path: name, directory, manifest }) {
  const declared = new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }))
  if (manifest.private) for (const known of Object.keys(manifest.devDependencies ?? {})) declared.add(known)
  const subpaths = new Set(Object.keys(core.manifest.exports).map(key => posix.join('plugwire', key)))
  const base = manifest.private ? directory : join(directory, 'src')
  for (const file of sourcesOf(base)) {
    for (const { path } of importsOf(await readFile(join(base, file), 'utf8'))) {
      const complain = why => complaints.push(`${name}: ${file} -> ${path}: ${why}`)
      if (isBuiltin(path)) continue
      if (path.startsWith('.')) {
        if (relative(base, join(base, dirname(file), path)).startsWith('..')) complain('leaves its package')
        continue
      }
      const dependency = path.split('/', path.startsWith('@') ? 2 : 1).join('/')
      if (dependency === 'plugwire' && !subpaths.has(path)) complain('not a public subpath')
      if (!declared.has(dependency) && !(manifest.private && /(^|\/)test\//.test(file)))
        complain(`${dependency} is not among its dependencies`)
    }
  }
}

/** What a plugin loads before it can say hello: first by the bundles' static imports, then by what Node says it has loaded. */
async function checkPluginStart() {
  const meta = join(core.directory, 'build', 'bundle.meta.json')
  if (!existsSync(meta)) return complaints.push('no bundles: run `npm run build` first')
  const { outputs } = JSON.parse(await readFile(meta, 'utf8'))
  if (!outputs['dist/plugin.js']) return
  for (const [what, entries, budget] of startBudgets) {
    const files = new Set(Object.keys(outputs).filter(file => entries.some(entry => file.startsWith(`dist/${entry}`))))
    for (const file of files) {
      for (const path of outputs[file].imports) {
        if (path in outputs) files.add(path)
        else if (entries.includes('plugin.js') && !pluginStart.has(path.replace(/^node:/, '')))
          complaints.push(`plugwire/plugin -> ${path} (in ${file}): load it when it is needed`)
      }
    }
    const kib = [...files].reduce((sum, file) => sum + outputs[file].bytes, 0) / 1024
    const found = `${what}: ${files.size} files, ${kib.toFixed(0)} KiB`
    if (files.size > budget.files || kib > budget.kib) complaints.push(`${found}, which is more than ${budget.files} and ${budget.kib}`)
    else console.log(`layers: ${found} (budget ${budget.files}, ${budget.kib} KiB)`)
  }
  const program = `
    await import('data:text/javascript,')
    const before = new Set(process.moduleLoadList)
    await import(${JSON.stringify(pathToFileURL(join(core.directory, 'dist', 'plugin.js')))})
    console.log(JSON.stringify(process.moduleLoadList.filter(name => !before.has(name))))`
  const env = { ...process.env }
  delete env.NODE_EXTRA_CA_CERTS
  delete env.NODE_OPTIONS
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { env })
  const loaded = JSON.parse(stdout)
  for (const module of pluginNever) {
    if (loaded.includes(`NativeModule ${module}`)) complaints.push(`plugwire/plugin loads node:${module} at its start`)
  }
}

function layerOf(file) {
  if (file === 'index.ts') return 'index'
  const [folder, ...rest] = file.split('/')
  if (rest.length === 0) return 'base'
  return folder in rank && folder !== 'base' && folder !== 'index' ? folder : undefined
}

function sourcesOf(directory) {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true })
    .map(file => file.split(sep).join('/'))
    .filter(file => /(?<!\.d)\.ts$/.test(file) && !/(^|\/)(node_modules|build|dist)\//.test(file))
    .sort()
}

/** Import statements of formatted code begin a line; lazy ones and types in passing may stand anywhere. */
function importsOf(text) {
  const found = []
  for (const [, type, path] of text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'"`;()=]*?\sfrom\s+)?'([^']+)'/gm)) {
    found.push({ path, typeOnly: type !== undefined, lazy: false })
  }
  const code = text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '')
  for (const [, path] of code.matchAll(/\b(?:import|getBuiltinModule|require)\(\s*'([^']+)'/g))
    found.push({ path, typeOnly: false, lazy: true })
  return found
}
