// How SSH writes things down: a length of four bytes, then the bytes. Source: RFC 4251 section 5. Knows no keys.

/** A place where the bytes end too early or claim too much; callers make the coded error of their format from it. */
export class SshFault extends Error {}

export class SshReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get rest(): number {
    return this.#bytes.byteLength - this.#at
  }

  take(length: number): Buffer {
    if (length > this.rest) throw new SshFault('it ends too early')
    const bytes = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return bytes
  }

  byte(): number {
    return this.take(1).readUInt8()
  }

  number(): number {
    return this.take(4).readUInt32BE()
  }

  bytes(): Buffer {
    return this.take(this.number())
  }

  text(): string {
    return this.bytes().toString('latin1')
  }

  end(): void {
    if (this.rest !== 0) throw new SshFault('something follows its end')
  }
}

/** A length of four bytes in front of each. */
export function sshBytes(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap(part => {
      const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part
      return [sshNumber(bytes.byteLength), bytes]
    }),
  )
}

export function sshNumber(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
