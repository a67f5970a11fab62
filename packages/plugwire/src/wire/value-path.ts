// Finds the place in a value that could not be encoded, after it has failed: the encoder itself keeps no track of paths.

import { describe, Kind, kindOf } from './value-kinds.ts'

/** Values looked at before the search gives up and names the root. */
const MAX_STEPS = 1 << 22
/** A longer path is cut in the middle. */
const MAX_SEGMENTS = 24

export interface Place {
  readonly path: string
  /** For `findEndless`: the path of the container that contains itself; undefined when it is only deep. */
  readonly target?: string | undefined
  /** For `findThrowing`: what reading threw. */
  readonly thrown?: unknown
}

/** Where exactly this object (function, symbol) is; or else the first thing of the same description; or the root. */
export function findSubject(value: unknown, root: string, subject: unknown): Place {
  const type = describe(subject)
  return (
    walk(value, root, Infinity, { visit: (item, path) => (item === subject ? { path: path() } : undefined) }) ??
    walk(value, root, Infinity, {
      visit: (item, path) => (!isContainer(item) && describe(item) === type ? { path: path() } : undefined),
    }) ?? {
      path: root,
    }
  )
}

/** Where reading throws. */
export function findThrowing(value: unknown, root: string): Place | undefined {
  return walk(value, root, Infinity, { threw: (thrown, path) => ({ path: path(), thrown }) })
}

/** The first cycle, or the first place deeper than `maxDepth`. */
export function findEndless(value: unknown, root: string, maxDepth: number): Place | undefined {
  return walk(value, root, maxDepth, {
    again: (path, target) => ({ path: path(), target }),
    deep: path => ({ path: path() }),
  })
}

interface Search {
  visit?: (value: unknown, path: () => string) => Place | undefined
  threw?: (thrown: unknown, path: () => string) => Place
  again?: (path: () => string, target: string) => Place
  deep?: (path: () => string) => Place
}

/** One thing inside a container: how it is written in JavaScript behind the container, and how to get it. */
type Step = readonly [segment: string, read: () => unknown]

interface Level {
  readonly container: object
  readonly steps: Iterator<Step>
  segment: string
}

/** Walks in the order of the encoder, on a stack of its own: depth must not matter here. */
function walk(value: unknown, root: string, maxDepth: number, search: Search): Place | undefined {
  const levels: Level[] = []
  const open = new Map<object, number>()
  const path = (): string =>
    pathOf(
      root,
      levels.map(level => level.segment),
    )

  const arrive = (item: unknown): Place | undefined => {
    const found = search.visit?.(item, path)
    if (found !== undefined || !isContainer(item)) return found
    const outer = open.get(item)
    if (outer !== undefined)
      return search.again?.(
        path,
        pathOf(
          root,
          levels.slice(0, outer).map(level => level.segment),
        ),
      )
    if (levels.length >= maxDepth) return search.deep?.(path)
    open.set(item, levels.length)
    levels.push({ container: item, steps: stepsInto(item), segment: '' })
    return undefined
  }

  let found = arrive(value)
  for (let count = 0; found === undefined && levels.length > 0 && count < MAX_STEPS; count++) {
    const level = levels[levels.length - 1] as Level
    level.segment = ''
    let inside: unknown
    try {
      const step = level.steps.next()
      if (step.done) {
        open.delete(level.container)
        levels.pop()
        continue
      }
      level.segment = step.value[0]
      inside = step.value[1]()
    } catch (thrown) {
      found = search.threw?.(thrown, path)
      continue
    }
    found = arrive(inside)
  }
  return found
}

/** What the encoder counts as a level. */
const travelsInLevels: ReadonlySet<Kind> = new Set([
  Kind.plain,
  Kind.instance,
  Kind.map,
  Kind.set,
  Kind.error,
  Kind.regexp,
  Kind.url,
  Kind.arrayBuffer,
])

function isContainer(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false
  if (Array.isArray(value)) return true
  try {
    return travelsInLevels.has(kindOf(value))
  } catch {
    // A proxy whose traps throw; `read` has shown it already.
    return false
  }
}

function* stepsInto(container: object): Generator<Step, void, void> {
  const object = container as Record<string, unknown>
  if (Array.isArray(container)) {
    for (let index = 0; index < container.length; index++) yield [`[${index}]`, () => container[index]]
    return
  }
  const kind = kindOf(container)
  if (kind === Kind.map) {
    let index = 0
    for (const [key, item] of Map.prototype.entries.call(container)) {
      yield [`.keys()[${index}]`, () => key]
      yield [isKey(key) ? `.get(${JSON.stringify(key)})` : `.values()[${index}]`, () => item]
      index++
    }
    return
  }
  if (kind === Kind.set) {
    let index = 0
    for (const item of Set.prototype.values.call(container)) yield [`.values()[${index++}]`, () => item]
    return
  }
  const keys = Object.keys(container)
  if (kind === Kind.error)
    keys.unshift(...['name', 'message', 'stack', 'cause', 'errors'].filter(key => key in container && !keys.includes(key)))
  for (const key of keys) yield [property(key), () => object[key]]
}

const isKey = (key: unknown): boolean => typeof key === 'string' || typeof key === 'number'
const property = (key: string): string => (isIdentifier(key) ? `.${key}` : `[${JSON.stringify(key)}]`)

/** No literal: its Unicode tables would be built when this file is parsed, which is half a millisecond of every start. */
const IDENTIFIER = '^[\\p{ID_Start}$_][\\p{ID_Continue}$]*$'
let identifier: RegExp | undefined

function isIdentifier(key: string): boolean {
  identifier ??= new RegExp(IDENTIFIER, 'u')
  return identifier.test(key)
}

function pathOf(root: string, segments: readonly string[]): string {
  if (segments.length <= MAX_SEGMENTS) return root + segments.join('')
  const head = segments.slice(0, MAX_SEGMENTS / 2).join('')
  const tail = segments.slice(-MAX_SEGMENTS / 2).join('')
  return `${root}${head} … (${segments.length - MAX_SEGMENTS} more) … ${tail}`
}
