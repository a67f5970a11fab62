// Programs in JavaScript that run without any file: their modules go through a pipe to a child that checks them once more. Knows what to send and how
// to start the child; what happens there is boot.ts.

import * as path from 'node:path'
import { PluginError } from '../../errors.ts'
import { bootText } from './boot.ts'

/** The modules of a program, by path relative to its root, with `/`. */
export type ScriptFiles = ReadonlyMap<string, Uint8Array>

/** What a child gets. */
export interface ScriptBundle {
  /** What follows the runtime on the command line, before the plugin's own arguments. */
  readonly args: readonly string[]
  /** What goes down the pipe. */
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
}

/** Puts the files of a program together. `descriptor` is where the child finds the pipe. */
export function scriptBundle(name: string, files: ScriptFiles, entry: string, descriptor: number): ScriptBundle {
  for (const file of files.keys()) checkPath(name, file)
  if (!files.has(entry)) {
    throw new PluginError('ERR_PLUGIN_NOT_FOUND', { path: `${name}/${entry}`, remedy: 'The entry is not among the files that were given.' })
  }
  const header = Buffer.from(
    JSON.stringify({
      root: `/@plugin/${name.replace(/[^\w.@-]+/g, '-')}`,
      entry,
      files: [...files].map(([file, { length }]) => [file, length]),
    }),
  )
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  const pieces = [length, header, ...files.values()]
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return {
    args: [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      '-e',
      bootText(),
      '--',
      String(descriptor),
      hash.digest('hex'),
    ],
    pieces,
    bytes: pieces.reduce((sum, piece) => sum + piece.length, 0),
  }
}

function checkPath(name: string, file: string): void {
  if (file !== '' && !path.posix.isAbsolute(file) && path.posix.normalize(file) === file && !file.startsWith('..') && !file.includes('\0'))
    return
  throw new PluginError('ERR_CONTRACT', { reason: `${JSON.stringify(file)} of ${name} is no path below its root` })
}

/** Whether this runtime can be told to load modules from memory. */
export const scriptsRunFromMemory = (): boolean => !('bun' in process.versions) && !('deno' in process.versions)
