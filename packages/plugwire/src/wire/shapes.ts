// Shapes: the key lists of objects, sent once per connection, and the code that writes and reads an object of one shape.
// Knows the order of keys and fields; what a field's bytes are is the codec's (values.ts).

import { isPlain, PLAIN_CHECK } from './value-kinds.ts'
import { MAX_SHAPE_KEY_UNITS, MAX_SHAPE_KEYS } from './value-tags.ts'

/** Uses by the loop before code is generated for a shape: compiling costs as much as some hundred objects. */
const COMPILE_AFTER = 16
/** Plans kept for all connections of the process. */
const MAX_CACHED_PLANS = 4096
/** Steps of the way to shapes that one encoder remembers beyond those that lead to shapes it has defined. */
const SPARE_NODES = 4096

/** The side of the encoder that plans use. */
export interface FieldWriter {
  depth: number
  /** Objects that are not data although they look like it. */
  readonly marked: WeakSet<object> | undefined
  writeValue(value: unknown): void
  /** Writes the reference to a shape and goes one level down. */
  openShape(id: number): void
  /** Writes an object that is not plain data after all. */
  writeForeign(value: object): void
}

/** The side of the decoder that plans use. */
export interface FieldReader {
  depth: number
  readValue(): unknown
  /** Goes one level down. */
  enter(): void
}

type WriteShape = (writer: FieldWriter, value: object, id: number, known: boolean) => void
type ReadShape = (reader: FieldReader) => object

/** How objects with one list of keys are written and read. Shared by all connections. */
export interface Plan {
  readonly keys: readonly string[]
  /** Writes shape reference and fields. Unless `known`, first checks that the object is plain and gives it to `writeForeign` if not. */
  write: WriteShape
  /** Reads the fields. */
  read: ReadShape
}

const plans = new Map<string, Plan>()

/** The plan for a list of distinct keys. */
export function planFor(keys: readonly string[]): Plan {
  const name = JSON.stringify(keys)
  let plan = plans.get(name)
  if (plan === undefined) {
    // The oldest goes; connections that use it keep it.
    if (plans.size >= MAX_CACHED_PLANS) plans.delete(plans.keys().next().value as string)
    plans.set(name, (plan = loopPlan(keys)))
  }
  return plan
}

/** True when a list of keys may become a shape. */
export function fitsShape(keys: readonly string[]): boolean {
  if (keys.length > MAX_SHAPE_KEYS) return false
  let units = 0
  for (const key of keys) units += key.length
  return units <= MAX_SHAPE_KEY_UNITS
}

/** Adds an own property whatever its name: assignment would set a prototype for `__proto__`. */
export function defineField(object: object, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
}

function loopPlan(keys: readonly string[]): Plan {
  let writes = 0
  let reads = 0
  const inherited = keys.some(key => key in Object.prototype)
  const plan: Plan = {
    keys,
    write(writer, value, id, known) {
      if (++writes === COMPILE_AFTER) plan.write = compile(writerSource(keys)) ?? plan.write
      if (!known && (writer.marked?.has(value) || !isPlain(value))) {
        writer.writeForeign(value)
        return
      }
      writer.openShape(id)
      for (const key of keys) writer.writeValue((value as Record<string, unknown>)[key])
      writer.depth--
    },
    read(reader) {
      if (++reads === COMPILE_AFTER) plan.read = compile(readerSource(keys)) ?? plan.read
      reader.enter()
      const object: Record<string, unknown> = {}
      for (const key of keys) {
        if (inherited) defineField(object, key, reader.readValue())
        else object[key] = reader.readValue()
      }
      reader.depth--
      return object
    },
  }
  return plan
}

let mayCompile = true

/** Makes a function, or returns undefined where the process forbids code from strings; then the loop stays. */
function compile<F>(source: string): F | undefined {
  if (!mayCompile) return undefined
  try {
    return new Function('check', source)(PLAIN_CHECK) as F
  } catch {
    // EvalError: --disallow-code-generation-from-strings. It will be no different for the next shape.
    mayCompile = false
    return undefined
  }
}

// Keys may come from the peer: into code they go only as JSON strings, which are JavaScript strings too.

function writerSource(keys: readonly string[]): string {
  return `const { dispose, asyncDispose, asyncIterator, getPrototypeOf, prototype } = check
return function (writer, value, id, known) {
  if (!known) {
    if (writer.marked !== undefined && writer.marked.has(value)) return writer.writeForeign(value)
    if (value[dispose] != null || value[asyncDispose] != null || value[asyncIterator] != null) return writer.writeForeign(value)
    const own = getPrototypeOf(value)
    if (own !== prototype && own !== null) return writer.writeForeign(value)
  }
  writer.openShape(id)
  ${keys.map(key => `writer.writeValue(value[${JSON.stringify(key)}])`).join('\n  ')}
  writer.depth--
}`
}

function readerSource(keys: readonly string[]): string {
  // Computed, `__proto__` is a key like any other.
  const field = (key: string): string => (key === '__proto__' ? '["__proto__"]' : JSON.stringify(key))
  return `return function (reader) {
  reader.enter()
  const object = { ${keys.map(key => `${field(key)}: reader.readValue()`).join(', ')} }
  reader.depth--
  return object
}`
}

/** One key further on the way to a shape. Fields are public and plain: this is the hottest data of the encoder. */
export class ShapeNode {
  readonly depth: number
  /** The first key that followed here, and its node; all others are in `more`. */
  key: string | null = null
  next: ShapeNode | null = null
  more: Map<string, ShapeNode> | null = null
  /** Set once the shape of the keys up to here has been sent. */
  plan: Plan | null = null
  id = -1
  /** An object with these keys has been sent before: the next one is worth a shape. */
  seen = false

  constructor(depth: number) {
    this.depth = depth
  }
}

/** Where the walk ends for objects that get no shape. Its `key` is never equal to a key. */
const DICTIONARY = new ShapeNode(MAX_SHAPE_KEYS + 1)

/**
 * The shapes one encoder has defined, found by walking key by key.
 *
 * A shape is defined when its keys are seen for the second time, so objects used as dictionaries do not eat up the ids; what was
 * seen only once is forgotten from time to time.
 */
export class ShapeTable {
  root: ShapeNode = new ShapeNode(0)
  #shapes: ShapeNode[] = []
  readonly #maxShapes: number
  #nodes = 0
  #maxNodes = SPARE_NODES

  constructor(maxShapes: number) {
    this.#maxShapes = Math.min(maxShapes, 0x10000)
  }

  /** Shapes defined so far. */
  get size(): number {
    return this.#shapes.length
  }

  /** The node behind `key`; the caller has already tried `node.key`. */
  step(node: ShapeNode, key: string): ShapeNode {
    const known = node.more?.get(key)
    if (known !== undefined) return known
    if (node.depth >= MAX_SHAPE_KEYS || this.#shapes.length >= this.#maxShapes || this.#nodes >= this.#maxNodes) return DICTIONARY
    return this.#grow(node, key)
  }

  /** The node of a whole list of keys. */
  find(keys: readonly string[]): ShapeNode {
    let node = this.root
    for (const key of keys) {
      node = node.key === key ? (node.next as ShapeNode) : this.step(node, key)
      if (node === DICTIONARY) break
    }
    return node
  }

  /** Called with an object without a shape: true when it is now time to define one. */
  wants(node: ShapeNode): boolean {
    if (node === DICTIONARY || this.#shapes.length >= this.#maxShapes) return false
    const again = node.seen
    node.seen = true
    return again
  }

  /** Gives the next id to the shape. */
  define(node: ShapeNode, keys: readonly string[]): Plan {
    const plan = planFor(keys)
    node.plan = plan
    node.id = this.#shapes.length
    this.#shapes.push(node)
    return plan
  }

  /** Takes back all shapes but the first `size`: their definitions have not been sent. */
  truncate(size: number): void {
    for (let id = size; id < this.#shapes.length; id++) {
      const node = this.#shapes[id] as ShapeNode
      node.plan = null
      node.id = -1
    }
    this.#shapes.length = size
  }

  /** Forgets keys that led to no shape, if there are many. Only between two values, since it replaces `root`. */
  tidy(): void {
    if (this.#nodes < this.#maxNodes || this.#shapes.length >= this.#maxShapes) return
    this.root = new ShapeNode(0)
    this.#nodes = 0
    this.#shapes = this.#shapes.map((old, id) => {
      const plan = old.plan as Plan
      let node = this.root
      for (const key of plan.keys) node = node.key === key ? (node.next as ShapeNode) : (node.more?.get(key) ?? this.#grow(node, key))
      node.plan = plan
      node.id = id
      return node
    })
    // At least as many again, so that the work of tidying stays in proportion to what was sent.
    this.#maxNodes = this.#nodes + Math.max(SPARE_NODES, this.#nodes)
  }

  #grow(node: ShapeNode, key: string): ShapeNode {
    this.#nodes++
    const next = new ShapeNode(node.depth + 1)
    if (node.key === null) {
      node.key = key
      node.next = next
    } else {
      node.more ??= new Map()
      node.more.set(key, next)
    }
    return next
  }
}
