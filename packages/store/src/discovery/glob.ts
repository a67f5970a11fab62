// go-plugin's Discover: names of files by a pattern, under the rules of Go's path/filepath.Glob. Knows nothing of manifests, owners or trust.

import { lstatSync, readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { PluginError } from 'plugwire'

/**
 * Files that match a pattern in a directory, as go-plugin's `Discover(glob, dir)` finds them.
 *
 * `*` and `?` stay within one name and match a leading dot too; `[a-z]` and `[^a-z]` are classes; `\` takes the next character as it is (not on
 * Windows); there is neither `**` nor `{a,b}`. Meta characters in `directory` count as well. What cannot be read is empty, and nobody looks
 * whether a result is a file or may be executed: `discover` does.
 *
 * @param directory Taken as absolute, from the working directory.
 * @returns Absolute paths, sorted by their bytes within each directory.
 * @throws PluginError `ERR_DISCOVER_PATTERN` when the pattern is malformed, wherever; Go tells of some only when a name gets that far.
 */
export function discoverGlob(pattern: string, directory: string): string[] {
  return expand(join(resolve(directory), pattern))
}

function expand(pattern: string): string[] {
  compileName(pattern)
  if (!hasMeta(pattern)) return exists(pattern) ? [pattern] : []
  const cut = lastSeparator(pattern) + 1
  const directory = withoutTrailingSeparator(pattern.slice(0, cut))
  const name = compileName(pattern.slice(cut))
  if (!hasMeta(directory)) return namesIn(directory, name)
  if (directory === pattern) throw malformed(pattern, 'it has no directory')
  return expand(directory).flatMap(found => namesIn(found, name))
}

function namesIn(directory: string, matches: (name: string) => boolean): string[] {
  try {
    if (!statSync(directory).isDirectory()) return []
    return readdirSync(directory)
      .filter(matches)
      .sort(byBytes)
      .map(name => join(directory, name))
  } catch {
    return [] // As Go does: what cannot be read is empty.
  }
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const escapes = sep === '/'
const hasMeta = (text: string): boolean => (escapes ? /[*?[\\]/ : /[*?[]/).test(text)
const lastSeparator = (text: string): number => (escapes ? text.lastIndexOf('/') : Math.max(text.lastIndexOf('/'), text.lastIndexOf('\\')))
const withoutTrailingSeparator = (text: string): string => (text === '' ? '.' : /^([A-Za-z]:)?[\\/]$/.test(text) ? text : text.slice(0, -1))

function malformed(pattern: string, reason: string): PluginError {
  return new PluginError('ERR_DISCOVER_PATTERN', { pattern, reason })
}

type Part =
  | { readonly kind: 'text'; readonly character: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'many' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [low: string, high: string])[] }

/**
 * A predicate for one name, without separators.
 * @throws PluginError `ERR_DISCOVER_PATTERN`: a class without an end or with a stray `-` or `]`, or a `\` with nothing behind it.
 */
export function compileName(pattern: string): (name: string) => boolean {
  const parts = parse(pattern)
  return name => matches(parts, Array.from(name))
}

function parse(pattern: string): Part[] {
  const characters = Array.from(pattern)
  const parts: Part[] = []
  let at = 0
  const escaped = (): string => {
    const character = characters[at++]
    if (character !== '\\' || !escapes) return character ?? ''
    if (at >= characters.length) throw malformed(pattern, 'it ends with a backslash')
    return characters[at++] as string
  }
  const bound = (): string => {
    const character = characters[at]
    if (character === undefined) throw malformed(pattern, 'a class has no ]')
    if (character === '-' || character === ']') throw malformed(pattern, `a class has a ${character} where a character must stand`)
    return escaped()
  }
  while (at < characters.length) {
    const character = characters[at]
    if (character === '*' || character === '?') {
      parts.push({ kind: character === '*' ? 'many' : 'one' })
      at++
    } else if (character === '[') {
      at++
      const negated = characters[at] === '^'
      if (negated) at++
      const ranges: [string, string][] = []
      while (characters[at] !== ']' || ranges.length === 0) {
        const low = bound()
        if (characters[at] !== '-') ranges.push([low, low])
        else {
          at++
          ranges.push([low, bound()])
        }
      }
      at++
      parts.push({ kind: 'class', negated, ranges })
    } else parts.push({ kind: 'text', character: escaped() })
  }
  return parts
}

/** Only the last `*` needs to be reconsidered, so the time is at most names times parts. */
function matches(parts: readonly Part[], name: readonly string[]): boolean {
  let part = 0
  let at = 0
  let star = -1
  let starAt = 0
  while (at < name.length) {
    const wanted = parts[part]
    if (wanted?.kind === 'many') {
      star = part++
      starAt = at
    } else if (wanted !== undefined && fits(wanted, name[at] as string)) {
      part++
      at++
    } else if (star >= 0) {
      part = star + 1
      at = ++starAt
    } else return false
  }
  while (parts[part]?.kind === 'many') part++
  return part === parts.length
}

function fits(part: Part, character: string): boolean {
  if (part.kind === 'text') return part.character === character
  if (part.kind !== 'class') return character !== '/'
  const point = character.codePointAt(0) as number
  const inside = part.ranges.some(([low, high]) => (low.codePointAt(0) as number) <= point && point <= (high.codePointAt(0) as number))
  return inside !== part.negated
}
