// Which parser reads which file, and with which configuration. The configurations of one parser live in one process.
import { extname } from 'node:path'
import type { ParserConfig } from '../contract.ts'

export interface Kind {
  /** For people, and the key of its instance. */
  readonly name: string
  /** The plugin: a file in `parsers/`. */
  readonly parser: string
  readonly config: ParserConfig
}

const text: Kind = { name: 'text', parser: 'text', config: {} }
const log: Kind = { name: 'log', parser: 'log', config: {} }
const json: Kind = { name: 'json', parser: 'json', config: {} }
const jsonc: Kind = { name: 'json with comments', parser: 'json', config: { lineComment: '//' } }
const script: Kind = {
  name: 'typescript and javascript',
  parser: 'code',
  config: { lineComment: '//', importPattern: /^(?:import|export)\b.*?\bfrom ['"]([^'"]+)['"]/ },
}
const python: Kind = { name: 'python', parser: 'code', config: { lineComment: '#', importPattern: /^(?:from|import)\s+([\w.]+)/ } }
const shell: Kind = { name: 'shell', parser: 'code', config: { lineComment: '#' } }
const fragile: Kind = { name: 'fragile', parser: 'fragile', config: {} }
const stuck: Kind = { name: 'stuck', parser: 'stuck', config: {} }

const byExtension: Readonly<Record<string, Kind>> = {
  '.md': text,
  '.txt': text,
  '.log': log,
  '.json': json,
  '.jsonl': json,
  '.jsonc': jsonc,
  '.ts': script,
  '.mts': script,
  '.cts': script,
  '.js': script,
  '.mjs': script,
  '.cjs': script,
  '.py': python,
  '.sh': shell,
}

/**
 * The kind of a file by its name; undefined for what sift does not read.
 *
 * @param trouble Gives `.jsonc` files to the fragile parser, and files without an extension to the one that hangs.
 */
export function kindOf(path: string, trouble: boolean): Kind | undefined {
  const extension = extname(path).toLowerCase()
  if (trouble && extension === '.jsonc') return fragile
  if (trouble && extension === '' && !path.split(/[/\\]/).at(-1)?.startsWith('.')) return stuck
  return Object.hasOwn(byExtension, extension) ? byExtension[extension] : undefined
}

/** What reads a file whose own parser has failed twice: everything is text. */
export const lastResort: Kind = text
