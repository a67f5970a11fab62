// The mark that says "this object stays here, send a reference". It knows nothing of connections; src/rpc reads the mark.

declare const marked: unique symbol

/** An object that travels as a reference: the other side holds a `Remote<T>` of it and calls come back to the original. */
export type ByRef<T extends object> = T & { readonly [marked]: T }

/** For type checks only: matches every `ByRef`, and tells of what. */
export interface MarkedByRef<T> {
  readonly [marked]: T
}

/** The marks of a process. */
export interface Marks {
  /** Undefined until the first object is marked, so that nobody who marks none pays for looking. */
  objects: WeakSet<object> | undefined
}

// One place for all copies of the library in a process: an object marked by one copy may be sent by another.
const registry: unique symbol = Symbol.for('plugwire/byRef')

/** The marks of this process, for those who look often. */
export function marksOfProcess(): Marks {
  const world = globalThis as { [registry]?: Marks }
  let marks = world[registry]
  if (marks === undefined) {
    marks = { objects: undefined }
    Object.defineProperty(globalThis, registry, { value: marks })
  }
  return marks
}

/**
 * Marks an object to travel by reference, for good, and returns the same object.
 *
 * Objects with `Symbol.asyncDispose` or `Symbol.dispose`, functions and streams travel by reference without it; everything else is
 * copied. The object is not changed, so it may be frozen. It stays alive until the other side has released its reference.
 */
export function byRef<T extends object>(object: T): ByRef<T> {
  if ((typeof object !== 'object' && typeof object !== 'function') || object === null) {
    throw new TypeError(`byRef marks objects; this is ${object === null ? 'null' : `a ${typeof object}`}`)
  }
  const marks = marksOfProcess()
  marks.objects ??= new WeakSet()
  marks.objects.add(object)
  return object as ByRef<T>
}

/** True when `byRef` was called with this very object; what inherits from it is not marked. */
export function isByRef(object: object): boolean {
  return marksOfProcess().objects?.has(object) ?? false
}
