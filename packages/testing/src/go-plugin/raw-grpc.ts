// gRPC calls by hand on node:http2, so that what a plugin answers is judged by nothing but the wire.

import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import { GoPeerError } from './go-peer.ts'

/** What came back. */
export interface RawAnswer {
  readonly httpStatus: number
  /** -1 when there was none. */
  readonly status: number
  readonly message: string
  readonly messages: readonly Buffer[]
}

/** One HTTP/2 connection. */
export class RawGrpc {
  readonly session: ClientHttp2Session
  readonly #deadlineMs: number

  constructor(session: ClientHttp2Session, deadlineMs: number) {
    this.session = session
    this.#deadlineMs = deadlineMs
    session.on('error', () => {})
  }

  static async over(connection: Duplex, deadlineMs: number, secure = false): Promise<RawGrpc> {
    const http2 = await import('node:http2')
    // Hosts of go-plugin dial a dummy: the authority is `unused`, over TLS `localhost`.
    const session = http2.connect(secure ? 'https://localhost' : 'http://unused', { createConnection: () => connection as never })
    return new RawGrpc(session, deadlineMs)
  }

  /** @throws GoPeerError when no answer comes. */
  unary(path: string, request: Uint8Array = new Uint8Array()): Promise<RawAnswer> {
    const stream = this.open(path)
    const messages = messagesOf(stream.duplex)
    stream.duplex.end(frame(request))
    return stream.answer(messages)
  }

  /** A call whose requests are written one by one. */
  open(path: string): RawCall {
    if (this.session.destroyed) throw new GoPeerError(`the plugin ended the connection before ${path}`)
    const duplex = this.session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' })
    duplex.on('error', () => {})
    return new RawCall(duplex, path, this.#deadlineMs)
  }

  close(): void {
    this.session.destroy()
  }
}

export class RawCall {
  readonly duplex: ReturnType<ClientHttp2Session['request']>
  readonly #path: string
  readonly #deadlineMs: number
  readonly #ended: Promise<IncomingHttpHeaders>
  #headers: IncomingHttpHeaders = {}

  constructor(duplex: ReturnType<ClientHttp2Session['request']>, path: string, deadlineMs: number) {
    this.duplex = duplex
    this.#path = path
    this.#deadlineMs = deadlineMs
    this.#ended = new Promise(resolve => {
      let trailers: IncomingHttpHeaders = {}
      duplex.on('response', headers => {
        this.#headers = headers
      })
      duplex.on('trailers', given => {
        trailers = given
      })
      const end = (): void => resolve(trailers)
      // On a stream that the other side has reset 'close' may never come.
      duplex.on('end', end).on('close', end).on('error', end).on('aborted', end)
    })
  }

  async answer(collected: { readonly messages: readonly Buffer[] }): Promise<RawAnswer> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new GoPeerError(`${this.#path} was not answered within ${this.#deadlineMs} ms`)), this.#deadlineMs)
    })
    try {
      const trailers = await Promise.race([this.#ended, late])
      // Data and trailers of one turn come as events of their own.
      await new Promise(resolve => setImmediate(resolve))
      const status = trailers['grpc-status'] ?? this.#headers['grpc-status']
      return {
        httpStatus: Number(this.#headers[':status'] ?? 0),
        status: status === undefined ? -1 : Number(status),
        message: decodeURIComponent(String(trailers['grpc-message'] ?? this.#headers['grpc-message'] ?? '')),
        messages: collected.messages,
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Collects the messages of a call as they come. */
export function messagesOf(duplex: Duplex): { readonly messages: Buffer[]; readonly first: Promise<Buffer> } {
  const messages: Buffer[] = []
  let left: Buffer = Buffer.alloc(0)
  let found = (_message: Buffer): void => {}
  const first = new Promise<Buffer>(resolve => {
    found = resolve
  })
  duplex.on('data', (chunk: Buffer) => {
    left = Buffer.concat([left, chunk])
    while (left.length >= 5 && left.length >= 5 + left.readUInt32BE(1)) {
      const end = 5 + left.readUInt32BE(1)
      messages.push(left.subarray(5, end))
      left = left.subarray(end)
      found(messages[0] as Buffer)
    }
  })
  return { messages, first }
}

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(5 + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, 5)
  return framed
}

/** The bytes of one field of a protobuf message that is text. */
export function textField(field: number, text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of((field << 3) | 2, bytes.length), bytes])
}
