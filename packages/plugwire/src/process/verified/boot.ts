// Runs in the plugin's process, before any of its code: takes modules from a descriptor, makes sure that they are the ones its host verified, and
// loads them from memory. Nothing of it comes from the disk, so nothing there can take a module's place.
//
// The host passes this function's own text to `node -e`: it may use nothing but its parameters, what is inside it, and what Node offers globally.

/** The text of the program that `node -e` gets. */
export const bootText = (): string => `(${boot.toString()})(process.argv[1], process.argv[2])`

/** Exit code of a child whose modules are not the ones its host verified. */
export const TAMPERED_EXIT = 97

/**
 * @param descriptor Where the modules come from: a length (4 bytes, big-endian), as many bytes of JSON (`{ root, entry, files: [[path, bytes], …] }`), the files.
 * @param expected SHA-256 of all of it, in hexadecimal.
 */
function boot(descriptor: string, expected: string): void {
  const builtin = process.getBuiltinModule
  const fs = builtin('node:fs')
  const vm = builtin('node:vm') as typeof import('node:vm')
  const path = builtin('node:path').posix
  const nodeModule = builtin('node:module')

  const pieces: Buffer[] = []
  const piece = Buffer.allocUnsafe(1 << 20)
  for (;;) {
    let read = 0
    try {
      read = fs.readSync(Number(descriptor), piece)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') throw cause
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      continue
    }
    if (read === 0) break
    // A copy: pipes give little at a time, and a part would keep the whole in memory.
    pieces.push(Buffer.from(piece.subarray(0, read)))
  }
  fs.closeSync(Number(descriptor))
  const all = Buffer.concat(pieces)
  if (builtin('node:crypto').createHash('sha256').update(all).digest('hex') !== expected) {
    fs.writeSync(2, 'The modules that came from the host are not the ones that it verified; nothing of them was run.\n')
    process.exit(97)
  }
  const headerBytes = all.readUInt32BE(0)
  const header = JSON.parse(all.toString('utf8', 4, 4 + headerBytes)) as { root: string; entry: string; files: [string, number][] }
  const files = new Map<string, Buffer>()
  let at = 4 + headerBytes
  for (const [name, bytes] of header.files) {
    files.set(`${header.root}/${name}`, all.subarray(at, at + bytes))
    at += bytes
  }

  const main = `${header.root}/${header.entry}`
  process.argv.splice(1, 2, main)
  // A child that this process forks must not start with this text.
  process.execArgv = process.execArgv.filter((_, index, given) => given[index] !== '-e' && given[index - 1] !== '-e')

  // ---- places of an error: Node knows no source maps of modules from memory
  type Map3 = { findEntry(line: number, column: number): { originalSource?: string; originalLine?: number; originalColumn?: number } }
  const maps = new Map<string, Map3 | undefined>()
  const mapOf = (file: string): Map3 | undefined => {
    if (maps.has(file)) return maps.get(file)
    let map: Map3 | undefined
    try {
      const text = files.get(file)?.toString('latin1') ?? ''
      const mark = text.lastIndexOf('//# sourceMappingURL=')
      const url = mark < 0 ? '' : (text.slice(mark + 21).split('\n', 1)[0] as string).trim()
      const inline = /^data:application\/json[^,]*;base64,/.exec(url)?.[0]
      const json = inline === undefined ? files.get(path.join(path.dirname(file), url)) : Buffer.from(url.slice(inline.length), 'base64')
      if (url !== '' && json !== undefined) map = new nodeModule.SourceMap(JSON.parse(json.toString('utf8'))) as unknown as Map3
    } catch {
      // A map that cannot be read helps nobody.
    }
    maps.set(file, map)
    return map
  }
  const place = (site: NodeJS.CallSite): string => {
    const text = String(site)
    const name = site.getFileName() ?? ''
    const file = name.startsWith('file://') ? name.slice(7) : name
    const found = files.has(file) ? mapOf(file)?.findEntry((site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1) : undefined
    if (found?.originalSource === undefined) return text
    const original = `${path.join(path.dirname(file), found.originalSource)}:${(found.originalLine ?? 0) + 1}:${(found.originalColumn ?? 0) + 1}`
    return text.replace(`${name}:${site.getLineNumber()}:${site.getColumnNumber()}`, original)
  }
  Error.prepareStackTrace = (error, sites) => `${error}${sites.map(site => `\n    at ${place(site)}`).join('')}`

  // ---- names to files
  const builtins = new Set(nodeModule.builtinModules)
  // What `-e` gives to its text and to nobody else: this `require` would look for modules in the working directory.
  const ofEval = nodeModule.builtinModules.filter(name => name !== 'process' && name !== 'console' && name !== 'crypto')
  const clean = (): void => {
    for (const name of ['require', 'exports', '__filename', '__dirname', ...ofEval]) Reflect.deleteProperty(globalThis, name)
  }
  clean()
  // Some come when the text has run.
  queueMicrotask(clean)
  const isBuiltin = (name: string): boolean => name.startsWith('node:') || builtins.has(name)
  const json = (file: string): Record<string, unknown> | undefined => {
    const bytes = files.get(file)
    return bytes && (JSON.parse(bytes.toString('utf8')) as Record<string, unknown>)
  }
  const missing = (name: string, from: string): Error =>
    Object.assign(new Error(`${JSON.stringify(name)}, imported by ${from}, is not among the verified files`), {
      code: 'ERR_MODULE_NOT_FOUND',
    })
  const builtinOf = (name: string, from: string): object => {
    const found = builtin(name as 'node:fs') as object | undefined
    if (found === undefined) throw missing(name, from)
    return found
  }
  /** The target of a package's `exports` for a subpath. */
  const exported = (target: unknown, conditions: string[]): string | undefined => {
    if (typeof target === 'string') return target
    if (Array.isArray(target)) return target.map(one => exported(one, conditions)).find(one => one !== undefined)
    if (typeof target !== 'object' || target === null) return undefined
    for (const [condition, value] of Object.entries(target)) {
      const found = conditions.includes(condition) ? exported(value, conditions) : undefined
      if (found !== undefined) return found
    }
    return undefined
  }
  const fromTable = (table: unknown, key: string, conditions: string[]): string | undefined => {
    const keyed = typeof table === 'object' && table !== null && !Array.isArray(table) && Object.keys(table).some(one => /^[.#]/.test(one))
    const entries = (keyed ? table : { '.': table }) as Record<string, unknown>
    if (Object.hasOwn(entries, key) && !key.includes('*')) return exported(entries[key], conditions)
    // Of several patterns the one that says most counts.
    for (const [pattern, value] of Object.entries(entries).sort(([a], [b]) => b.indexOf('*') - a.indexOf('*'))) {
      const [before = '', after] = pattern.split('*')
      if (after === undefined || !key.startsWith(before) || !key.endsWith(after) || key.length < before.length + after.length) continue
      return exported(value, conditions)?.replaceAll('*', key.slice(before.length, key.length - after.length))
    }
    return undefined
  }
  const resolve = (name: string, from: string, kind: 'import' | 'require'): string => {
    const conditions = [kind, 'node', 'default']
    const exact = (file: string, loose: boolean = kind === 'require'): string => {
      const candidates = loose ? [file, `${file}.js`, `${file}.cjs`, `${file}.json`, `${file}/index.js`] : [file]
      return candidates.find(candidate => files.has(candidate)) ?? fail()
    }
    const fail = (): never => {
      throw missing(name, from)
    }
    if (name.startsWith('file://')) return exact(decodeURIComponent(new URL(name).pathname))
    if (/^\.{0,2}\//.test(name) || name === '.' || name === '..') return exact(path.resolve(path.dirname(from), name))
    for (let folder = path.dirname(from); folder.startsWith(header.root); folder = path.dirname(folder)) {
      const own = json(`${folder}/package.json`)
      if (name.startsWith('#')) {
        const target = own && fromTable(own['imports'], name, conditions)
        if (target !== undefined) return target.startsWith('.') ? exact(path.resolve(folder, target)) : resolve(target, from, kind)
        continue
      }
      const [, wanted = name, rest = ''] = /^((?:@[^/]+\/)?[^/]+)(\/.*)?$/.exec(name) ?? []
      const home = `${folder}/node_modules/${wanted}`
      const manifest = json(`${home}/package.json`)
      if (manifest === undefined) continue
      if (manifest['exports'] !== undefined)
        return exact(path.resolve(home, fromTable(manifest['exports'], `.${rest}`, conditions) ?? fail()))
      return rest === '' ? exact(path.resolve(home, String(manifest['main'] ?? 'index.js')), true) : exact(home + rest)
    }
    return fail()
  }
  // ---- CommonJS
  type Compiled = (exports: unknown, require: NodeJS.Module['require'], module: NodeJS.Module, file: string, directory: string) => void
  const compiled = new Map<string, Compiled>()
  const compile = (file: string): Compiled => {
    const known = compiled.get(file)
    if (known !== undefined) return known
    const text = (files.get(file) as Buffer).toString('utf8').replace(/^#!/, '//')
    const made = vm.compileFunction(text, ['exports', 'require', 'module', '__filename', '__dirname'], {
      filename: file,
      importModuleDynamically: ((name: string) => evaluated(find(name, file))) as never,
    }) as Compiled
    compiled.set(file, made)
    return made
  }
  const { Module } = nodeModule as unknown as { Module: new (name: string) => NodeJS.Module }
  const required = new Map<string, NodeJS.Module>()
  const load = (file: string): NodeJS.Module => {
    const known = required.get(file)
    if (known !== undefined) return known
    const made = new Module(file)
    required.set(file, made)
    Object.assign(made, { filename: file, paths: [], require: requireFrom(file) })
    if (file === main) process.mainModule = made
    try {
      if (file.endsWith('.json')) made.exports = json(file)
      else compile(file).call(made.exports, made.exports, made.require, made, file, path.dirname(file))
    } catch (cause) {
      required.delete(file)
      throw cause
    }
    made.loaded = true
    return made
  }
  const requireFrom = (from: string): NodeJS.Require => {
    const find = (name: string): string => (isBuiltin(name) ? name : resolve(name, from, 'require'))
    const own: (name: string) => unknown = name => (isBuiltin(name) ? builtinOf(name, from) : load(find(name)).exports)
    const resolving = Object.assign(find, { paths: () => null })
    return Object.assign(own, { main: required.get(main), cache: {}, extensions: {}, resolve: resolving }) as unknown as NodeJS.Require
  }
  // Bundlers make a `require` of it.
  const { createRequire } = nodeModule
  nodeModule.createRequire = where => {
    const text = String(where)
    const file = text.startsWith('file://') ? decodeURIComponent(new URL(text).pathname) : text
    return file.startsWith(`${header.root}/`) ? requireFrom(file) : createRequire(where)
  }
  /** As Node tells them apart: by the ending, by the package, else by what the text is. */
  const isModule = (file: string): boolean => {
    if (/\.[cm]js$/.test(file)) return file.endsWith('.mjs')
    for (let folder = path.dirname(file); folder.startsWith(header.root); folder = path.dirname(folder)) {
      const manifest = json(`${folder}/package.json`)
      if (manifest === undefined) continue
      if (manifest['type'] === 'module' || manifest['type'] === 'commonjs') return manifest['type'] === 'module'
      break
    }
    try {
      compile(file)
      return false
    } catch {
      return true // If it is neither, it is the module whose error is told.
    }
  }

  // ---- ES modules
  type Loaded = InstanceType<typeof vm.Module>
  const modules = new Map<string, Loaded>()
  const synthetic = (key: string, names: string[], values: () => Record<string, unknown>): Loaded => {
    const made = new vm.SyntheticModule(
      names,
      function (this: InstanceType<typeof vm.SyntheticModule>) {
        const given = values()
        for (const one of names) this.setExport(one, given[one])
      },
      { identifier: key },
    )
    modules.set(key, made)
    return made
  }
  const find = (name: string, from: string): Loaded => {
    if (isBuiltin(name)) {
      const key = name.startsWith('node:') ? name : `node:${name}`
      const known = modules.get(key)
      if (known !== undefined) return known
      const exports = builtinOf(key, from) as Record<string, unknown>
      const names = [...new Set([...Object.keys(exports), 'default'])]
      return synthetic(key, names, () => ({ ...exports, default: exports }))
    }
    return moduleOf(resolve(name, from, 'import'))
  }
  const moduleOf = (file: string): Loaded => {
    const known = modules.get(file)
    if (known !== undefined) return known
    if (file.endsWith('.json')) return synthetic(file, ['default'], () => ({ default: json(file) }))
    if (!isModule(file)) {
      // The names that a CommonJS module exports are known when it has run.
      const { exports } = load(file)
      const names = Object.keys(Object(exports)).filter(one => one !== 'default' && typeof exports !== 'string')
      return synthetic(file, [...names, 'default'], () => ({ ...(exports as object), default: exports }))
    }
    const url = `file://${file}`
    const made = new vm.SourceTextModule((files.get(file) as Buffer).toString('utf8'), {
      identifier: url,
      initializeImportMeta(meta) {
        const own = { url, filename: file, dirname: path.dirname(file), main: file === main }
        Object.assign(meta, own, { resolve: (name: string) => (isBuiltin(name) ? name : `file://${resolve(name, file, 'import')}`) })
      },
      importModuleDynamically: ((name: string) => evaluated(find(name, file))) as never,
    })
    modules.set(file, made)
    return made
  }
  // One graph after the other: what one links, the next may share.
  let linking: Promise<unknown> = Promise.resolve()
  const evaluations = new Map<Loaded, Promise<Loaded>>()
  const evaluated = (wanted: Loaded): Promise<Loaded> => {
    const known = evaluations.get(wanted)
    if (known !== undefined) return known
    const linked = linking.then(async () => {
      if (wanted.status === 'unlinked') await wanted.link((name, from) => find(name, from.identifier.replace(/^file:\/\//, '')))
    })
    linking = linked.catch(() => {})
    const made = linked.then(() => wanted.evaluate()).then(() => wanted)
    evaluations.set(wanted, made)
    return made
  }
  if (isModule(main)) void evaluated(moduleOf(main))
  else load(main)
}
