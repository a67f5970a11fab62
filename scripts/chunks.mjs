// Decides which modules of the core package share a file. A file costs an ES module graph about as much as ten kilobytes of code do, so the few
// that a start loads hold much, and what only some programs need stays out of them.
//
//   base     what a plugin needs to introduce itself, as far as others need it, too; and `plugwire` itself
//   launch   what a host needs to start a process and read its introduction, as far as others need it, too
//   core     sessions, calls and values: loaded when a plugin has introduced itself, and by a host while its plugin starts
//
// Everything else stays with the one entry, or the one lazy import, that it belongs to. No module is in two files, so a process that imports
// several entries has one class of each.

import { join, sep } from 'node:path'

const sessions = ['host/plugwire-plugin.ts', 'plugin/service.ts']
const starts = ['index.ts', 'plugin/index.ts']
const hosts = ['host/index.ts', 'testing/index.ts', 'process/attach.ts']
/** Loaded by hosts alone, or, to dial a host, by few plugins: what these share with every host need not be a file of its own. */
const hostSide = [
  ...hosts,
  'host/foreign-plugin.ts',
  'process/dial-host.ts',
  'process/verified/verify.ts',
  'process/verified/sealed-memory.ts',
]

/**
 * The name of each module's chunk for rolldown's `codeSplitting`; undefined leaves it where it belongs.
 *
 * @param src The folder of the sources.
 * @param entries The files that are bundled, relative to it.
 */
export function chunkNames(src, entries) {
  let reached
  return (id, graph) => {
    reached ??= reachedBy(entries, file => importsOf(graph.getModuleInfo(join(src, file)), src))
    // Helpers of the bundler have no file.
    if (!id.startsWith(src)) return 'base'
    const file = relativeTo(src, id)
    if (entries.includes(file)) return undefined
    // The mux alone offers it, too, and alone it would be a file more for everybody.
    if (file === 'mux/duplex-link.ts') return 'core'
    // Hosts need it with each start, plugins with each listener: a file of its own would be one more for every host.
    if (file === 'process/at-end.ts') return 'base'
    const roots = reached.get(file) ?? new Set()
    const by = list => list.some(root => roots.has(root))
    if (by(starts) && roots.size > 1) return 'base'
    if (by(sessions) && (roots.size > 1 || file === sessions[1])) return by(hosts.slice(0, 1)) ? 'base' : 'core'
    if (by(hosts) && roots.size > 1 && [...roots].every(root => hostSide.includes(root))) return 'launch'
    return undefined
  }
}

const relativeTo = (src, id) =>
  id
    .slice(src.length + 1)
    .split(sep)
    .join('/')

function importsOf(info, src) {
  const inside = ids => ids.filter(id => id.startsWith(src)).map(id => relativeTo(src, id))
  return { eager: inside(info.importedIds), lazy: inside(info.dynamicallyImportedIds) }
}

/** For each module the entries and lazily imported modules whose static imports lead to it. */
function reachedBy(entries, read) {
  const reached = new Map()
  const roots = new Set(entries)
  for (const root of roots) {
    const seen = new Set([root])
    for (const file of seen) {
      if (!reached.has(file)) reached.set(file, new Set())
      reached.get(file).add(root)
      const { eager, lazy } = read(file)
      for (const next of eager) seen.add(next)
      for (const next of lazy) roots.add(next)
    }
  }
  return reached
}
