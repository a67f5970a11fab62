// What a resource keeps beside its state: Terraform stores it and shows it to nobody.

/** Values by name, as JSON. A copy travels with every call; what was set when the call ends is kept. */
export class PrivateState {
  readonly #values: Map<string, unknown>

  constructor(bytes?: Uint8Array) {
    const parsed: unknown = bytes === undefined || bytes.length === 0 ? {} : JSON.parse(Buffer.from(bytes).toString())
    this.#values = new Map(typeof parsed === 'object' && parsed !== null ? Object.entries(parsed) : [])
  }

  get(name: string): unknown {
    return this.#values.get(name)
  }

  /** @param value JSON; `undefined` takes the name away. */
  set(name: string, value: unknown): void {
    if (value === undefined) this.#values.delete(name)
    else this.#values.set(name, value)
  }

  toBytes(): Uint8Array {
    return this.#values.size === 0 ? new Uint8Array() : Buffer.from(JSON.stringify(Object.fromEntries(this.#values)))
  }
}
