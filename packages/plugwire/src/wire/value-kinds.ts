// What an object is, as far as travelling is concerned. Knows the platform's classes, nothing of bytes.

import { types } from 'node:util'

// Where a runtime lacks one of them nobody can have used it; a symbol of our own then finds nothing.
const dispose: symbol = Symbol.dispose ?? Symbol()
const asyncDispose: symbol = Symbol.asyncDispose ?? Symbol()
const asyncIterator: symbol = Symbol.asyncIterator

/** What generated code needs for the check in `isPlain`; see shapes.ts. */
export const PLAIN_CHECK: Readonly<Record<string, unknown>> = {
  dispose,
  asyncDispose,
  asyncIterator,
  getPrototypeOf: Object.getPrototypeOf,
  prototype: Object.prototype,
}

/** True when the object carries a symbol that says it lives somewhere: it is disposed of, or iterated as it comes. */
export function hasLife(value: object): boolean {
  const object = value as Record<symbol, unknown>
  return object[dispose] != null || object[asyncDispose] != null || object[asyncIterator] != null
}

/** True for an object literal, an object without prototype, and nothing else. */
export function isPlain(value: object): boolean {
  if (hasLife(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

export const Kind = {
  /** An object literal, also one of another realm (vm context). */
  plain: 0,
  /** An instance of a class of the application's. */
  instance: 1,
  date: 2,
  map: 3,
  set: 4,
  regexp: 5,
  error: 6,
  arrayBuffer: 7,
  url: 8,
  /** `new Number(1)` and the like. */
  boxed: 9,
  /** An object of the platform's that is more than its properties: Promise, WeakMap, generator, Blob, ... */
  platform: 10,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** Kinds already found out, by prototype: asking the platform takes longer than encoding. */
const kinds = new WeakMap<object, Kind>()

export function kindOf(value: object): Kind {
  const prototype: object | null = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return Kind.plain
  let kind = kinds.get(prototype)
  if (kind === undefined) kinds.set(prototype, (kind = classify(value, prototype)))
  return kind
}

function classify(value: object, prototype: object): Kind {
  // `types` asks for what the object is made of, so objects of other realms are recognized too.
  if (types.isDate(value)) return Kind.date
  if (types.isMap(value)) return Kind.map
  if (types.isSet(value)) return Kind.set
  if (types.isRegExp(value)) return Kind.regexp
  if (types.isNativeError(value) || value instanceof Error) return Kind.error
  if (types.isArrayBuffer(value)) return Kind.arrayBuffer
  if (value instanceof URL) return Kind.url
  if (types.isBoxedPrimitive(value)) return Kind.boxed
  if (types.isGeneratorObject(value) || iteratorTag.test(String(tagOf(value)))) return Kind.platform
  for (let level: object | null = prototype; level !== null; level = Object.getPrototypeOf(level)) {
    const next: object | null = Object.getPrototypeOf(level)
    const maker: unknown = Object.getOwnPropertyDescriptor(level, 'constructor')?.value
    if (typeof maker !== 'function') continue
    // The end of a chain is some realm's Object.prototype.
    if (next === null && Object.hasOwn(level, 'isPrototypeOf')) return level === prototype ? Kind.plain : Kind.instance
    if (isPlatformClass(maker)) return Kind.platform
  }
  return Kind.instance
}

const iteratorTag = /Iterator|Generator/
const tagOf = (value: object): unknown => (value as Record<symbol, unknown>)[Symbol.toStringTag]

function isPlatformClass(maker: { readonly name: string }): boolean {
  // The descriptor, not the value: reading some globals loads half of the platform.
  if (Object.getOwnPropertyDescriptor(globalThis, maker.name)?.value === maker) return true
  return /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(maker))
}

/** A name for people: "a Promise", "a function", "a symbol". */
export function describe(value: unknown): string {
  if (typeof value === 'function') return value.name ? `the function ${value.name}` : 'a function'
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  const tag = tagOf(value)
  const maker: unknown = (Object.getPrototypeOf(value) as { constructor?: unknown } | null)?.constructor
  const name = typeof maker === 'function' && maker.name && maker !== Object ? maker.name : typeof tag === 'string' ? tag : 'Object'
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
