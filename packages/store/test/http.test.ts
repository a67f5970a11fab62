import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isPluginError } from 'plugwire'
import { ContentStore } from '../src/content/store.ts'
import { download } from '../src/sources/download.ts'
import { HttpClient, type HttpOptions, type HttpRetry } from '../src/sources/http/client.ts'
import { proxyFor } from '../src/sources/http/proxy.ts'
import { openWebFile } from '../src/sources/http/web-file.ts'
import type { Source, SourceFile } from '../src/sources/source.ts'
import { breaking, sendFile, serve, type TestServer } from './server.ts'

const quick: HttpOptions = { allowLoopback: true, retryDelayMs: 1, attempts: 3, env: {} }

function clientOf(t: TestContext, options: HttpOptions = {}): HttpClient {
  const client = new HttpClient({ ...quick, ...options })
  t.after(() => client.close())
  return client
}

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-http-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function serverOf(t: TestContext, secure?: { key: string; cert: string }): Promise<TestServer> {
  const server = await serve(secure)
  t.after(() => server[Symbol.asyncDispose]())
  return server
}

const code =
  (expected: string, words = /./) =>
  (error: unknown) => {
    assert.ok(isPluginError(error), String((error as Error).stack))
    assert.equal(error.code, expected, error.message)
    assert.match(error.message, words)
    return true
  }

const sha = (algorithm: string, bytes: Uint8Array): string => createHash(algorithm).update(bytes).digest('hex')

/** What every download test needs: a store, a server with one file, a source that knows it. */
async function setting(t: TestContext, options: HttpOptions = {}) {
  const server = await serverOf(t)
  const store = await ContentStore.open(join(directoryOf(t), 'store'))
  const client = clientOf(t, options)
  const source: Source = {
    id: 'test',
    versions: async () => [],
    resolve: () => Promise.reject(new Error('not needed')),
    fetch: (file, fetching) => openWebFile(client, new URL(file.location), file, fetching),
  }
  const bytes = Buffer.alloc(300_000, 'a plugin, and not a small one. ')
  const file: SourceFile = {
    name: 'plugin.tgz',
    location: `${server.url}/plugin.tgz`,
    size: bytes.length,
    digests: { sha512: sha('sha512', bytes) },
  }
  const left = (): string[] => readdirSync(join(store.directory, 'tmp'))
  return {
    server,
    store,
    client,
    source,
    bytes,
    file,
    left,
    get: (more: Partial<SourceFile> = {}) => download(store, source, { ...file, ...more }, client),
  }
}

test('documents: bounded, retried, and never elsewhere', async t => {
  const server = await serverOf(t)
  const other = await serverOf(t)
  const client = clientOf(t)
  const get = (path: string, maxBytes = 1_000) => client.document(new URL(path, server.url), maxBytes)
  server.files.set('/ok', 'fine')
  assert.equal(Buffer.from((await get('/ok')).bytes).toString(), 'fine')
  await assert.rejects(get('/ok', 3), code('ERR_SOURCE_LIMIT', /more than 3 bytes/))
  server.files.set('/endless', (_, response) => {
    const more = (): void => {
      response.write('x'.repeat(1_000))
      if (!response.destroyed) setImmediate(more)
    }
    more()
  })
  await assert.rejects(get('/endless'), code('ERR_SOURCE_LIMIT'))
  await assert.rejects(get('/missing'), code('ERR_SOURCE_UNREACHABLE', /answered 404.*Compare/))
  server.files.set('/private', (_, response) => void response.writeHead(403).end())
  await assert.rejects(get('/private'), code('ERR_SOURCE_UNREACHABLE', /answered 403.*credentials/))
  server.files.set(
    '/busy',
    (_, response, count) => void (count < 3 ? response.writeHead(503, { 'retry-after': '0' }).end() : response.end('at last')),
  )
  assert.equal(Buffer.from((await get('/busy')).bytes).toString(), 'at last')
  server.files.set('/broken', (_, response) => void response.writeHead(500).end())
  await assert.rejects(get('/broken'), code('ERR_SOURCE_UNREACHABLE', /answered 500, 3 times/))
  server.files.set('/short', (_, response) => void response.writeHead(200, { 'content-length': 100 }).write('x', () => response.destroy()))
  await assert.rejects(get('/short'), code('ERR_SOURCE_UNREACHABLE', /3 times/))
  server.files.set('/packed', (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'))
  await assert.rejects(get('/packed'), code('ERR_SOURCE_MALFORMED', /encoded as gzip/))

  const redirects: readonly [to: string, words: RegExp][] = [
    [`${other.url}/ok`, /another host/],
    ['http://example.com/ok', /another host/],
    ['file:///etc/passwd', /from http to file/],
    ['ftp://127.0.0.1/x', /to ftp/],
    ['/loop', /more than 5 times/],
  ]
  for (const [to, words] of redirects) {
    server.files.set('/loop', (_, response) => void response.writeHead(302, { location: to }).end())
    await assert.rejects(get('/loop'), code('ERR_SOURCE_REDIRECT', words), to)
  }
  assert.deepEqual(other.log, [])
  server.files.set('/moved', (_, response) => void response.writeHead(301, { location: './ok' }).end())
  assert.equal((await get('/moved')).url.pathname, '/ok')
  // Where the source allows it, but without credentials.
  let seen: unknown
  other.files.set('/ok', (request, response) => {
    seen = request.headers['authorization']
    response.end('there')
  })
  server.files.set('/away', (_, response) => void response.writeHead(307, { location: `${other.url}/ok` }).end())
  const request = { headers: { authorization: 'Bearer secret' }, allowsHost: (host: string) => host === other.host }
  assert.equal((await client.document(new URL('/away', server.url), 100, request)).bytes.length, 5)
  assert.equal(seen, undefined)
})

test('an answer that does not come, stalls or drips ends', async t => {
  const server = await serverOf(t)
  const client = clientOf(t, { responseTimeoutMs: 50, idleTimeoutMs: 50, attempts: 2 })
  server.files.set('/silent', () => {})
  await assert.rejects(
    client.document(new URL('/silent', server.url), 100),
    code('ERR_SOURCE_UNREACHABLE', /no answer within 50 ms, 2 times/),
  )
  server.files.set('/stalls', (_, response) => void response.writeHead(200, { 'content-length': 10 }).write('x'))
  await assert.rejects(client.document(new URL('/stalls', server.url), 100), code('ERR_SOURCE_UNREACHABLE', /nothing came for 50 ms/))
  server.files.set('/drips', (_, response) => {
    const timer = setInterval(() => response.write('x'), 10)
    response.on('close', () => clearInterval(timer))
  })
  await assert.rejects(client.document(new URL('/drips', server.url), 100_000), code('ERR_SOURCE_UNREACHABLE', /only \d+ bytes came/))
  const reason = new Error('enough')
  const aborting = client.document(new URL('/silent', server.url), 100, { signal: AbortSignal.abort(reason) })
  await assert.rejects(aborting, (error: unknown) => error === reason || (error as Error).name === 'AbortError')
})

test('plain HTTP, passwords in addresses and offline mode are refused before a connection is made', async t => {
  const server = await serverOf(t)
  const strict = clientOf(t, { allowLoopback: false })
  await assert.rejects(strict.document(new URL(server.url), 10), code('ERR_SOURCE_ADDRESS', /Use HTTPS/))
  await assert.rejects(clientOf(t).document(new URL('http://example.com/'), 10), code('ERR_SOURCE_ADDRESS', /Use HTTPS/))
  await assert.rejects(clientOf(t).document(new URL('https://me:secret@127.0.0.1/'), 10), code('ERR_SOURCE_ADDRESS', /password/))
  await assert.rejects(clientOf(t, { offline: true }).document(new URL(server.url), 10), code('ERR_SOURCE_OFFLINE'))
  await assert.rejects(
    clientOf(t, { attempts: 2 }).document(new URL('http://127.0.0.1:1/'), 10),
    code('ERR_SOURCE_UNREACHABLE', /ECONNREFUSED, 2 times/),
  )
  assert.deepEqual(server.log, [])
})

test('HTTPS: certificates count, and proxies are used', async t => {
  const directory = directoryOf(t)
  const certificateFor = (names: string): { key: string; cert: string } => {
    const subject = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${names}`]
    const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')]
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...subject, ...files],
      { stdio: 'ignore' },
    )
    const [key, cert] = ['key.pem', 'cert.pem'].map(name => readFileSync(join(directory, name), 'utf8')) as [string, string]
    return { key, cert }
  }
  let made: { key: string; cert: string }
  try {
    made = certificateFor('IP:127.0.0.1,DNS:localhost')
  } catch {
    return t.skip('openssl is needed to make a certificate')
  }
  const { key, cert } = made
  const server = await serverOf(t, { key, cert })
  server.files.set('/ok', 'fine')
  const url = new URL('/ok', server.url)
  await assert.rejects(clientOf(t).document(url, 10), code('ERR_SOURCE_UNREACHABLE', /certificate cannot be trusted/))
  assert.equal((await clientOf(t, { ca: cert }).document(url, 10)).bytes.length, 4)
  server.files.set('/down', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/ok' }).end())
  await assert.rejects(
    clientOf(t, { ca: cert }).document(new URL('/down', server.url), 10),
    code('ERR_SOURCE_REDIRECT', /from https to http/),
  )

  const asked: (string | undefined)[] = []
  const proxy = createServer()
  const sockets = new Set<Socket>()
  proxy.on('connect', (request, socket: Socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? ''}`)
    sockets.add(socket)
    if (request.headers['proxy-authorization'] === undefined) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const { port, hostname } = new URL(`http://${request.url}`)
    const onward = connect(port === '1' ? Number(url.port) : Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    sockets.add(onward)
    for (const each of [socket, onward]) each.on('error', () => {})
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const { port } = proxy.address() as AddressInfo
  const through = (address: string, more: object = {}) =>
    clientOf(t, { ca: cert, attempts: 1, env: { HTTPS_PROXY: address, ...more } }).document(url, 10)
  assert.equal((await through(`http://me:pass%20word@127.0.0.1:${port}`)).bytes.length, 4)
  assert.equal(asked[0], `${server.host} Basic ${Buffer.from('me:pass word').toString('base64')}`)
  await assert.rejects(through(`127.0.0.1:${port}`), code('ERR_SOURCE_UNREACHABLE', /proxy .* answered 407/))
  assert.equal(asked.length, 2)
  await through(`127.0.0.1:${port}`, { NO_PROXY: '127.0.0.1' })
  assert.equal(asked.length, 2)
  // Nobody but the proxy knows what that address leads to.
  const client = clientOf(t, { ca: cert, attempts: 1, env: { HTTPS_PROXY: `http://me:word@127.0.0.1:${port}` } })
  assert.equal((await client.document(new URL('https://localhost:1/ok'), 10)).bytes.length, 4)
  // Behind a proxy, too, a certificate has to be for the very address, also for one made of numbers.
  const named = certificateFor('DNS:localhost')
  const impostor = await serverOf(t, named)
  impostor.files.set('/ok', 'fine')
  const misled = clientOf(t, { ca: named.cert, attempts: 1, env: { HTTPS_PROXY: `http://me:word@127.0.0.1:${port}` } })
  await assert.rejects(misled.document(new URL('/ok', impostor.url), 10), code('ERR_SOURCE_UNREACHABLE', /certificate cannot be trusted/))
  assert.deepEqual(impostor.log, [])
})

test('which proxy is meant', () => {
  const of = (host: string, env: Record<string, string>): string | undefined => proxyFor(new URL(`https://${host}/`), env)?.host
  assert.equal(of('a.example', {}), undefined)
  assert.equal(of('a.example', { HTTPS_PROXY: 'http://p:1' }), 'p:1')
  assert.equal(of('a.example', { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://q:2' }), 'q:2')
  assert.equal(of('a.example', { ALL_PROXY: 'p:3' }), 'p:3')
  assert.equal(of('a.example', { HTTPS_PROXY: '' }), undefined)
  for (const list of ['*', 'a.example', '.example', 'example', '*.example', 'x, a.example', 'a.example:443'])
    assert.equal(of('a.example', { HTTPS_PROXY: 'http://p:1', NO_PROXY: list }), undefined, list)
  for (const list of ['b.example', 'a.exampl', 'xa.example', 'a.example:8443'])
    assert.equal(of('a.example', { HTTPS_PROXY: 'http://p:1', NO_PROXY: list }), 'p:1', list)
  for (const list of ['::1', '[::1]', '[::1]:443'])
    assert.equal(of('[::1]', { HTTPS_PROXY: 'http://p:1', NO_PROXY: list }), undefined, list)
  for (const list of ['[::1]:8443', '::2', ':', '[']) assert.equal(of('[::1]', { HTTPS_PROXY: 'http://p:1', NO_PROXY: list }), 'p:1', list)
  assert.throws(() => of('a', { HTTPS_PROXY: 'socks5://p:1' }), code('ERR_SOURCE_ADDRESS', /SOCKS/))
})

test('a download goes on where the line broke', async t => {
  const retries: HttpRetry[] = []
  const { server, get, bytes, file, left } = await setting(t, { onRetry: retry => void retries.push(retry) })
  server.files.set('/plugin.tgz', breaking(bytes, 90_000, 4))
  const { sha512 } = await get()
  assert.equal(sha512, file.digests?.sha512)
  assert.equal(server.log.length, 4)
  assert.deepEqual(
    retries.map(({ subject, reason, delayMs }) => [subject, reason, delayMs > 0]),
    Array(3).fill(['plugin.tgz', 'the connection broke', true]),
  )
  assert.match(server.log[1] as string, /range=bytes=\d+-$/)
  assert.deepEqual(left(), [])
  // It is there now: nobody is asked.
  await get()
  assert.equal(server.log.length, 4)
})

test('a line that breaks behind every few bytes is given up', async t => {
  // The rate is beyond every machine, so that each try brings too little.
  const { server, get, bytes, left } = await setting(t, { minBytesPerSecond: 1e9 })
  server.files.set('/plugin.tgz', breaking(bytes, 100))
  await assert.rejects(get(), code('ERR_SOURCE_UNREACHABLE', /3 times/))
  assert.equal(server.log.length, 3)
  assert.equal(left().length, 2)
})

test('without a digest and a tag nothing tells whether a file is still the same, so it begins again', async t => {
  const { server, store, source, client, bytes } = await setting(t)
  const other = Buffer.from(bytes.toString().toUpperCase())
  server.files.set('/plugin.tgz', (request, response, count) => {
    response.removeHeader('etag')
    if (count === 1)
      return void response
        .writeHead(200, { 'content-length': bytes.length })
        .write(bytes.subarray(0, 90_000), () => setImmediate(() => response.destroy()))
    sendFile(request, response, other)
  })
  const { sha512 } = await download(store, source, { name: 'plugin.tgz', location: `${server.url}/plugin.tgz` }, client)
  assert.equal(sha512, sha('sha512', other))
})

test('what came before a failure is kept for the next run, whoever that is', async t => {
  const { server, get, bytes, left } = await setting(t, { attempts: 1 })
  server.files.set('/plugin.tgz', breaking(bytes, 100_000))
  // Each try brings something, so patience is not used up before the server stops sending.
  server.files.set('/plugin.tgz', (request, response, count) =>
    count === 1 ? breaking(bytes, 100_000)(request, response, count) : void response.writeHead(503).end(),
  )
  await assert.rejects(get(), code('ERR_SOURCE_UNREACHABLE', /answered 503/))
  assert.equal(left().length, 2)
  server.files.set('/plugin.tgz', bytes)
  await get()
  assert.match(server.log.at(-1) as string, /range=bytes=\d{5,}-$/)
  assert.deepEqual(left(), [])
})

test('a download that is aborted is gone on with too', async t => {
  const { server, store, source, client, file, bytes, left, get } = await setting(t)
  server.files.set(
    '/plugin.tgz',
    (_, response) => void response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, 100_000)),
  )
  const controller = new AbortController()
  const reason = new Error('enough')
  const onProgress = ({ receivedBytes }: { receivedBytes: number }): void => {
    if (receivedBytes >= 100_000) controller.abort(reason)
  }
  await assert.rejects(download(store, source, file, client, { signal: controller.signal, onProgress }), error => error === reason)
  assert.equal(left().length, 1)
  server.files.set('/plugin.tgz', bytes)
  await get()
  assert.match(server.log.at(-1) as string, /range=bytes=\d+-$/)
})

test('a file that changed in between begins again, with or without a server that notices', async t => {
  const { server, store, get, bytes } = await setting(t, { attempts: 1 })
  const old = Buffer.alloc(bytes.length, 'the file before. ')
  const partly = async (): Promise<void> => {
    server.files.set('/plugin.tgz', (request, response, count) =>
      count % 2 === 1 ? breaking(old, 100_000)(request, response, count) : void response.writeHead(503).end(),
    )
    await assert.rejects(get(), code('ERR_SOURCE_UNREACHABLE'))
  }
  await partly()
  server.files.set('/plugin.tgz', bytes) // If-Range does not fit, so all of it is sent.
  const { sha512 } = await get()
  rmSync(store.pathOf(sha512), { force: true })
  server.log.length = 0
  server.files.set('/plugin.tgz', (request, response) => {
    delete request.headers['if-range'] // One that does not look.
    sendFile(request, response, bytes)
  })
  const draft = await store.draft(
    `get-${createHash('sha256')
      .update(JSON.stringify(['test', `${server.url}/plugin.tgz`, { sha512 }, bytes.length]))
      .digest('hex')
      .slice(0, 40)}`,
  )
  await draft.write(old.subarray(0, 1_000))
  await draft.leave()
  assert.equal((await get()).sha512, sha512)
  assert.deepEqual(
    server.log.map(line => line.includes('range')),
    [true, false],
  )
})

const lies: readonly [what: string, answer: (bytes: Buffer) => Parameters<TestServer['files']['set']>[1], code: string, words: RegExp][] = [
  ['other content of the same size', bytes => Buffer.alloc(bytes.length, 'evil'), 'ERR_SOURCE_DIGEST', /not what was announced/],
  ['a smaller file', bytes => bytes.subarray(1), 'ERR_SOURCE_DIGEST', /bytes/],
  ['a larger file', bytes => Buffer.concat([bytes, bytes]), 'ERR_SOURCE_DIGEST', /bytes/],
  [
    'more than announced, without saying so',
    bytes => (_, response) => {
      response.writeHead(200)
      response.write(bytes)
      response.end(bytes)
    },
    'ERR_SOURCE_LIMIT',
    /what was announced/,
  ],
  [
    'less than announced, without saying so',
    bytes => (_, response) => void response.writeHead(200).end(bytes.subarray(1)),
    'ERR_SOURCE_DIGEST',
    /299999/,
  ],
  [
    'a part that nobody asked for',
    bytes => (_, response) => void response.writeHead(206, { 'content-range': 'bytes 0-1/2' }).end(bytes),
    'ERR_SOURCE_MALFORMED',
    /nobody asked/,
  ],
  [
    'a page instead of the file',
    () => (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Log in</h1>'),
    'ERR_SOURCE_DIGEST',
    /bytes/,
  ],
]
for (const [what, answer, expected, words] of lies) {
  test(`a server that sends ${what} is refused and leaves nothing to be taken for the file`, async t => {
    const { server, store, get, bytes, file } = await setting(t, { attempts: 2 })
    server.files.set('/plugin.tgz', answer(bytes))
    await assert.rejects(get(), code(expected, words))
    assert.equal(await store.sizeOf(file.digests?.sha512 as string), undefined)
    server.files.set('/plugin.tgz', bytes)
    await get()
  })
}

test('a checksum by SHA-256 is held against the whole, and a wrong place in the file is refused', async t => {
  const { server, get, bytes, left } = await setting(t)
  server.files.set('/plugin.tgz', bytes)
  await assert.rejects(get({ digests: { sha256: sha('sha256', Buffer.from('other')) } }), code('ERR_SOURCE_DIGEST', /sha256/))
  assert.equal((await get({ digests: { sha256: sha('sha256', bytes) } })).sha512, sha('sha512', bytes))
  await assert.rejects(get({ size: 3 * 1024 ** 3, digests: {} }), code('ERR_SOURCE_LIMIT'))
  assert.deepEqual(left(), [])
  const { server: second, get: again, bytes: content, store, file } = await setting(t, { attempts: 1 })
  const label = `get-${createHash('sha256')
    .update(JSON.stringify(['test', file.location, file.digests, file.size]))
    .digest('hex')
    .slice(0, 40)}`
  const draft = await store.draft(label)
  await draft.write(content.subarray(0, 500))
  await draft.leave()
  second.files.set(
    '/plugin.tgz',
    (_, response) => void response.writeHead(206, { 'content-range': `bytes 7-9/${content.length}`, 'content-length': 3 }).end('abc'),
  )
  await assert.rejects(again(), code('ERR_SOURCE_MALFORMED', /sends bytes from 7/))
})
