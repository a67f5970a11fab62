// A careful HTTP client: HTTPS only, never elsewhere than the source allows, bounded in time and size, and worth trying again when a line breaks.
// On node:https rather than fetch, which knows no proxies on every supported Node and hides what became of a connection. Knows no registry.

import type { Agent as HttpAgent, IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { PluginError } from 'plugwire'
import { badAddress, malformed, tooLarge } from '../failure.ts'
import { Interruption } from '../source.ts'
import { connectThrough, proxyFor } from './proxy.ts'
import { ReceivedBody } from './received-body.ts'

export interface HttpOptions {
  /** Makes every request an error. Default false. */
  readonly offline?: boolean
  /** Takes plain HTTP to this machine itself; for tests. Default false. */
  readonly allowLoopback?: boolean
  /** More certificates of authorities that are trusted, PEM. */
  readonly ca?: string | readonly string[]
  /** `HTTPS_PROXY` and `NO_PROXY` are read from it. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Until the first byte of an answer. Milliseconds, default 30_000. */
  readonly responseTimeoutMs?: number
  /** Between two portions of a body. Milliseconds, default 30_000. */
  readonly idleTimeoutMs?: number
  /** A body that comes slower than this for a whole `idleTimeoutMs` has stalled. Bytes in a second, default 256. */
  readonly minBytesPerSecond?: number
  /** How often something that may work the next time is tried. Default 4. */
  readonly attempts?: number
  /** The first pause between two tries; each later one is twice as long. Milliseconds, default 500. */
  readonly retryDelayMs?: number
  /** Told before each pause: something did not work and is tried again. */
  readonly onRetry?: (retry: HttpRetry) => void
}

export interface HttpRetry {
  /** The file or the address that it is about. */
  readonly subject: string
  /** Why it did not work this time. */
  readonly reason: string
  /** Milliseconds until the next try. */
  readonly delayMs: number
}

export interface HttpRequest {
  readonly headers?: Readonly<Record<string, string>>
  /** Whether a redirect may lead to another host. Default: to none. Credentials never go there. */
  readonly allowsHost?: (host: string) => boolean
  readonly signal?: AbortSignal | undefined
}

export interface HttpDocument {
  readonly bytes: Uint8Array
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Where it was found in the end. */
  readonly url: URL
}

export interface HttpBody {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly url: URL
  /** Has to be read to its end or closed by leaving the loop. */
  readonly body: AsyncIterable<Uint8Array>
}

const MAX_REDIRECTS = 5
const MAX_RETRY_AFTER_MS = 60_000
const secret = new Set(['authorization', 'cookie'])

export class HttpClient {
  readonly #options: HttpOptions
  readonly attempts: number
  readonly minBytesPerSecond: number
  #httpAgent: HttpAgent | undefined
  #httpsAgent: HttpsAgent | undefined

  constructor(options: HttpOptions = {}) {
    this.#options = options
    this.attempts = options.attempts ?? 4
    this.minBytesPerSecond = options.minBytesPerSecond ?? 256
  }

  /** Closes the connections that were kept for later. */
  close(): void {
    this.#httpAgent?.destroy()
    this.#httpsAgent?.destroy()
  }

  /**
   * A document as a whole.
   * @param maxBytes Refuses more, by its announced length if there is one.
   * @param accepted Statuses beside 200 that are an answer and no failure, e.g. 404.
   * @throws PluginError `ERR_SOURCE_…`
   */
  async document(url: URL, maxBytes: number, request: HttpRequest = {}, accepted: readonly number[] = []): Promise<HttpDocument> {
    return this.retried(shown(url), request.signal, async () => {
      const { status, headers, url: found, body } = await this.open(url, request)
      if (status !== 200 && !accepted.includes(status)) {
        await closeBody(body)
        throw statusFailure(found, status, headers)
      }
      const announced = lengthOf(headers)
      if (announced !== undefined && announced > maxBytes) {
        await closeBody(body)
        throw tooLarge(shown(found), 'maxBytes', maxBytes)
      }
      const parts: Uint8Array[] = []
      let size = 0
      for await (const part of body) {
        size += part.length
        if (size > maxBytes) throw tooLarge(shown(found), 'maxBytes', maxBytes)
        parts.push(part)
      }
      if (announced !== undefined && size !== announced) throw new Interruption(`it ended after ${size} of ${announced} bytes`)
      return { bytes: Buffer.concat(parts), status, headers, url: found }
    })
  }

  /**
   * One request, with its redirects, tried once.
   * @throws Interruption when it may work the next time; PluginError when it will not
   */
  async open(url: URL, request: HttpRequest = {}): Promise<HttpBody> {
    let target = url
    let headers: Readonly<Record<string, string>> = { 'user-agent': 'plugwire', 'accept-encoding': 'identity', ...request.headers }
    for (let redirects = 0; ; redirects++) {
      this.#checkTarget(target)
      const { response, received } = await this.#send(target, headers, request.signal)
      const status = response.statusCode ?? 0
      const { location } = response.headers
      if (![301, 302, 303, 307, 308].includes(status) || location === undefined) {
        const encoding = response.headers['content-encoding']
        if (encoding !== undefined && encoding !== 'identity') {
          response.destroy()
          throw malformed(shown(target), `it is encoded as ${encoding.slice(0, 40)}, which nobody asked for`)
        }
        return { status, headers: response.headers, url: target, body: this.#bodyOf(received, request.signal) }
      }
      response.destroy()
      if (redirects === MAX_REDIRECTS)
        throw redirected(target, location, `it leads on more than ${MAX_REDIRECTS} times`, 'Tell whoever runs the source.')
      const next = URL.canParse(location, target.href) ? new URL(location, target) : undefined
      if (next === undefined) throw redirected(target, location, 'it leads to no address', 'Tell whoever runs the source.')
      if (next.protocol !== 'https:' && (next.protocol !== 'http:' || target.protocol !== 'http:'))
        throw redirected(
          target,
          location,
          `it leads from ${target.protocol.slice(0, -1)} to ${next.protocol.slice(0, -1)}`,
          'Tell whoever runs the source.',
        )
      if (next.host !== target.host) {
        if (request.allowsHost?.(next.host) !== true) {
          const remedy = `If that is right, allow the host: --host ${next.host}, or \`hosts\` of the source.`
          throw redirected(target, location, `it leads to another host, ${next.host}`, remedy)
        }
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => !secret.has(name.toLowerCase())))
      }
      target = next
    }
  }

  /**
   * Tries something again, with growing pauses, as long as it fails by an `Interruption`.
   * @throws PluginError `ERR_SOURCE_UNREACHABLE` in the end
   */
  async retried<T>(subject: string, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await attempt()
      } catch (cause) {
        if (!(cause instanceof Interruption)) throw cause
        if (attempts >= this.attempts) throw unreachable(subject, cause, attempts)
        await this.pause(subject, attempts, cause, signal)
      }
    }
  }

  /** Waits before the next try: longer each time, never all at the same time, and as long as the server asked for. */
  async pause(subject: string, attempts: number, cause: Interruption, signal: AbortSignal | undefined): Promise<void> {
    const base = (this.#options.retryDelayMs ?? 500) * 2 ** (attempts - 1)
    const asked = Math.min(cause.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
    const delayMs = Math.max(base * (0.5 + Math.random()), asked)
    this.#options.onRetry?.({ subject, reason: cause.message, delayMs })
    await sleep(delayMs, undefined, signal && { signal })
  }

  #checkTarget(url: URL): void {
    if (this.#options.offline) {
      throw new PluginError('ERR_SOURCE_OFFLINE', {
        subject: shown(url),
        reason: 'it is not in the store, and offline mode forbids to fetch it',
        remedy: 'Run `plugwire install` once while online.',
      })
    }
    if (url.username !== '' || url.password !== '')
      throw badAddress(shown(url), 'it holds a password', 'Give credentials to the source, never in an address: addresses are recorded.')
    if (url.protocol === 'https:') return
    if (url.protocol === 'http:' && this.#options.allowLoopback && isLoopback(url.hostname)) return
    throw badAddress(shown(url), `${url.protocol.slice(0, -1)} is not taken`, httpRemedy(url.hostname))
  }

  async #send(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<Answer> {
    const timeoutMs = this.#options.responseTimeoutMs ?? 30_000
    // Ends with the answer's first byte: a body may take as long as it comes.
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), timeoutMs)
    const either = signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal])
    try {
      return await this.#request(url, headers, either)
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof PluginError) throw cause
      if (deadline.signal.aborted) throw new Interruption(`there was no answer within ${timeoutMs} ms`, { cause })
      const { code, message } = cause as NodeJS.ErrnoException
      if (code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|^ERR_(?:TLS|SSL)/.test(code)) {
        throw new PluginError(
          'ERR_SOURCE_UNREACHABLE',
          {
            subject: shown(url),
            reason: `its certificate cannot be trusted (${code})`,
            remedy: 'If it is a server of your own, name its authority in NODE_EXTRA_CA_CERTS; otherwise somebody may be in between.',
            status: null,
            attempts: 1,
          },
          { cause },
        )
      }
      throw cause instanceof Interruption ? cause : new Interruption(code === undefined ? message : `${code}`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  async #request(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const isPlain = url.protocol === 'http:'
    const { request, Agent } = isPlain ? await import('node:http') : await import('node:https')
    const proxy = isPlain ? undefined : proxyFor(url, this.#options.env ?? process.env)
    const ca = this.#options.ca === undefined ? {} : { ca: [...(await import('node:tls')).rootCertificates, ...[this.#options.ca].flat()] }
    const options: RequestOptions & { ca?: string[] } = { headers: { ...headers }, signal, ...ca }
    if (proxy !== undefined) {
      const socket = await connectThrough(proxy, url, signal, ca)
      // Without any agent: one would connect by itself, past the proxy.
      options.createConnection = () => socket
    } else if (isPlain) options.agent = this.#httpAgent ??= new Agent({ keepAlive: true }) as HttpAgent
    else options.agent = this.#httpsAgent ??= new Agent({ keepAlive: true }) as HttpsAgent
    return new Promise((resolve, reject) => {
      const sent = request(url, options as RequestOptions)
      sent
        .once('response', response => resolve({ response, received: new ReceivedBody(response) }))
        .on('error', reject)
        .end()
    })
  }

  async *#bodyOf(received: ReceivedBody, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const { idleTimeoutMs = 30_000 } = this.#options
    const { minBytesPerSecond } = this
    let late = ''
    const abort = (): void => received.destroy()
    signal?.addEventListener('abort', abort)
    // Time counts only while somebody waits for the server, not while the disk is slow.
    let waitedMs = 0
    let receivedBytes = 0
    try {
      for (;;) {
        const timer = setTimeout(() => {
          late = `nothing came for ${idleTimeoutMs} ms`
          received.destroy()
        }, idleTimeoutMs)
        const began = performance.now()
        const chunk = await received.next().finally(() => clearTimeout(timer))
        if (chunk === undefined) return
        waitedMs += performance.now() - began
        receivedBytes += chunk.length
        if (waitedMs >= idleTimeoutMs) {
          if (receivedBytes < (waitedMs / 1_000) * minBytesPerSecond)
            throw new Interruption(`only ${receivedBytes} bytes came in ${Math.round(waitedMs)} ms`)
          waitedMs = 0
          receivedBytes = 0
        }
        yield chunk
      }
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof Interruption) throw cause
      throw new Interruption(late || 'the connection broke', { cause })
    } finally {
      signal?.removeEventListener('abort', abort)
      if (!received.isComplete) received.destroy()
    }
  }
}

interface Answer {
  readonly response: IncomingMessage
  readonly received: ReceivedBody
}

/** What a status means that is no answer: an `Interruption` when it may pass, else `ERR_SOURCE_UNREACHABLE`. */
export function statusFailure(url: URL, status: number, headers: IncomingHttpHeaders): Error {
  if (status === 429 || status === 408 || (status >= 500 && status !== 501 && status !== 505)) {
    const given = headers['retry-after']
    const retryAfterMs = given !== undefined && /^\d{1,6}$/.test(given) ? Number(given) * 1_000 : undefined
    return new Interruption(`the server answered ${status}`, { status, retryAfterMs })
  }
  const remedy =
    status === 401 || status === 403
      ? 'Give the source credentials that may read it.'
      : status === 404 || status === 410
        ? 'Compare the address and the name.'
        : 'Tell whoever runs the server.'
  return new PluginError('ERR_SOURCE_UNREACHABLE', {
    subject: shown(url),
    reason: `the server answered ${status}`,
    remedy,
    status,
    attempts: 1,
  })
}

export function unreachable(subject: string, cause: Interruption, attempts: number): PluginError {
  const tried = attempts === 1 ? '' : `, ${attempts} times`
  return new PluginError(
    'ERR_SOURCE_UNREACHABLE',
    {
      subject,
      reason: `${cause.message}${tried}`,
      remedy: 'Look at the network and at HTTPS_PROXY; the next run goes on where this one ended.',
      status: cause.status,
      attempts,
    },
    { cause },
  )
}

function redirected(url: URL, to: string, reason: string, remedy: string): PluginError {
  return new PluginError('ERR_SOURCE_REDIRECT', { subject: shown(url), reason, remedy, to: to.slice(0, 500) })
}

/** An address for people, without what may be a secret. */
export const shown = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`

/** What to do about plain HTTP. */
export const httpRemedy = (hostname: string): string =>
  isLoopback(hostname) ? 'Use HTTPS, or allow plain HTTP from this machine itself (--loopback, `http.allowLoopback`).' : 'Use HTTPS.'

export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)

/** What `content-length` announces; undefined when there is none that can be read. */
export function lengthOf(headers: IncomingHttpHeaders): number | undefined {
  const given = headers['content-length']
  return given !== undefined && /^\d{1,15}$/.test(given) ? Number(given) : undefined
}

/** Nobody wants the rest. */
export async function closeBody(body: AsyncIterable<Uint8Array>): Promise<void> {
  const iterator = body[Symbol.asyncIterator]()
  // A generator that never began has no finally to run, so it has to begin.
  await iterator.next().catch(() => {}) // What becomes of an answer that nobody wants is nobody's concern.
  await iterator.return?.()
}
