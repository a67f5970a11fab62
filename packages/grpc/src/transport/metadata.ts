// Metadata of calls: what travels as HTTP/2 headers and trailers beside the messages. How it looks on the wire is in headers.ts.

/** Text, or bytes under a name that ends in `-bin`. */
export type MetadataValue = string | Uint8Array

/** What metadata can be made of: `{ 'x-trace': '1', 'x-ids': ['a', 'b'], 'x-key-bin': bytes }`, pairs, or other metadata. */
export type MetadataInit =
  | Metadata
  | Iterable<readonly [string, MetadataValue]>
  | Readonly<Record<string, MetadataValue | readonly MetadataValue[]>>

const legalName = /^[0-9a-z_.-]+$/
const legalText = /^[\x20-\x7e]*$/

/**
 * Names with one or more values each. Names are lower case, whatever case they are given in; iteration gives pairs in the order of names'
 * first appearance.
 */
export class Metadata implements Iterable<[string, MetadataValue]> {
  readonly #values = new Map<string, MetadataValue[]>()

  /** @throws TypeError when a name or value cannot travel, see `append`. */
  constructor(init?: MetadataInit) {
    if (init === undefined) return
    const pairs = Symbol.iterator in init ? (init as Iterable<readonly [string, MetadataValue]>) : Object.entries(init)
    for (const [name, value] of pairs) {
      if (typeof value === 'string' || value instanceof Uint8Array) this.append(name, value)
      else for (const one of value as readonly MetadataValue[]) this.append(name, one)
    }
  }

  /** @internal What came from the other side: it need not keep the rules for what we send. */
  static received(pairs: Iterable<readonly [string, MetadataValue]>): Metadata {
    const metadata = new Metadata()
    for (const [name, value] of pairs) metadata.#add(name, value)
    return metadata
  }

  /** The first value of a name. */
  get(name: string): MetadataValue | undefined {
    return this.#values.get(name.toLowerCase())?.[0]
  }

  getAll(name: string): readonly MetadataValue[] {
    return this.#values.get(name.toLowerCase()) ?? []
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase())
  }

  /** Replaces all values of a name. Throws as `append` does. */
  set(name: string, value: MetadataValue): this {
    const key = checkedName(name, value)
    this.#values.set(key, [value])
    return this
  }

  /**
   * Adds a value to those that a name has.
   * @throws TypeError when the name is no header name (letters, digits and `_ . -`) or belongs to the protocol (`grpc-…`), when bytes go under a
   * name without `-bin` or text under one with it, or when text holds anything but printable ASCII.
   */
  append(name: string, value: MetadataValue): this {
    this.#add(checkedName(name, value), value)
    return this
  }

  #add(key: string, value: MetadataValue): void {
    const values = this.#values.get(key)
    if (values === undefined) this.#values.set(key, [value])
    else values.push(value)
  }

  delete(name: string): boolean {
    return this.#values.delete(name.toLowerCase())
  }

  get size(): number {
    return this.#values.size
  }

  *[Symbol.iterator](): Generator<[string, MetadataValue], void, undefined> {
    for (const [name, values] of this.#values) for (const value of values) yield [name, value]
  }

  static {
    // What a console shows of it, above all within an error: its values, and no shortened name of a class.
    const inspect = Symbol.for('nodejs.util.inspect.custom')
    Object.defineProperty(this.prototype, inspect, {
      value(this: Metadata): object {
        return this.#values
      },
    })
  }
}

function checkedName(name: string, value: MetadataValue): string {
  const key = name.toLowerCase()
  if (!legalName.test(key) || key.startsWith('grpc-')) throw new TypeError(`${JSON.stringify(name)} cannot be the name of metadata`)
  if (typeof value === 'string') {
    if (key.endsWith('-bin')) throw new TypeError(`metadata ${key} takes bytes, because its name ends in -bin`)
    if (!legalText.test(value)) throw new TypeError(`metadata ${key} takes printable ASCII; give bytes under a name that ends in -bin`)
  } else if (!key.endsWith('-bin')) throw new TypeError(`metadata ${key} takes text; bytes need a name that ends in -bin`)
  return key
}
