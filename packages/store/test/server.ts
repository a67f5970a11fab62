// A web server on this machine that tells the truth, or any lie that it is told to tell.

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void | Promise<void>

export interface TestServer extends AsyncDisposable {
  /** Without `/` at the end. */
  readonly url: string
  readonly host: string
  /** Every request, e.g. `GET /a range=bytes=5-`. */
  readonly log: string[]
  /** By path. A function answers by itself; bytes are a file. */
  readonly files: Map<string, Uint8Array | string | Handler>
  /** Answers whatever is not in `files`. */
  fallback: Handler | undefined
}

export async function serve(secure?: { readonly key: string; readonly cert: string }): Promise<TestServer> {
  const files: TestServer['files'] = new Map()
  const log: string[] = []
  const counts = new Map<string, number>()
  const sockets = new Set<Socket>()
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = new URL(request.url ?? '/', 'http://x').pathname
    const range = request.headers.range === undefined ? '' : ` range=${request.headers.range}`
    log.push(`${request.method} ${request.url}${range}`)
    const count = (counts.get(path) ?? 0) + 1
    counts.set(path, count)
    const found = files.get(path) ?? server.fallback
    if (found === undefined) response.writeHead(404).end('not here')
    else if (typeof found === 'function') void found(request, response, count)
    else sendFile(request, response, Buffer.from(found))
  }
  const listener = secure === undefined ? createServer(answer) : createSecureServer(secure, answer)
  listener.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as AddressInfo
  const server: TestServer = {
    url: `${secure === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    log,
    files,
    fallback: undefined,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => listener.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
  return server
}

export const tagOf = (bytes: Uint8Array): string => `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`

/** As a good static server does: ranges, If-Range, a strong tag. */
export function sendFile(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const etag = tagOf(bytes)
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const condition = request.headers['if-range']
  if (from !== undefined && (condition === undefined || condition === etag)) {
    const start = Number(from)
    if (start >= bytes.length) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
      return
    }
    const part = bytes.subarray(start)
    response
      .writeHead(206, { etag, 'content-length': part.length, 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` })
      .end(part)
    return
  }
  response.writeHead(200, { etag, 'content-length': bytes.length }).end(bytes)
}

/** Sends the first part of a file and then breaks the connection; from the `good`-th request on all of it. */
export function breaking(bytes: Buffer, at: number, good = Number.POSITIVE_INFINITY): Handler {
  return (request, response, count) => {
    if (count >= good) return sendFile(request, response, bytes)
    const [, from = '0'] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
    const start = Number(from)
    const etag = tagOf(bytes)
    if (start === 0) response.writeHead(200, { etag, 'content-length': bytes.length })
    else
      response.writeHead(206, {
        etag,
        'content-length': bytes.length - start,
        'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
      })
    response.write(bytes.subarray(start, start + at), () => setImmediate(() => response.destroy()))
  }
}
