// From a publisher's source to a plugin that runs at a user's, by the six commands of docs/plugins.md, typed as they stand there. Publisher and user have homes
// of their own; the web server that the page names is one of ours, behind a proxy and with a certificate made for it.

import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createProxy } from 'node:http'
import { createServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readLock } from '@plugwire/trust'
import { bin, cleanEnvironment, root } from './command.ts'
import { noTerminal } from './terminal.ts'

const noOpenssl =
  spawnSync('openssl', ['version']).error === undefined ? false : 'CI must not skip: openssl is needed to make a certificate'

/** A command of the page, with the lines that it says there. */
interface Shown {
  readonly command: string
  readonly says: readonly string[]
}

const page = readFileSync(join(root, 'docs/plugins.md'), 'utf8')
const section = /^## In six commands$([\s\S]*?)^## /m.exec(page)?.[1] ?? ''
/** By block: the publisher's, the user's. */
const blocks = [...section.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(([, block = '']) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((part): Shown => {
      const [command = '', ...says] = part.trimEnd().split('\n')
      return { command, says }
    }),
)

/** Everybody who is asked, answers like this. */
const answers: readonly (readonly [question: RegExp, answer: string])[] = [
  [/password[^\n]*: $/, 'correct horse\r'],
  [/the same again: $/, 'correct horse\r'],
  [/\[y\/N\] $/, 'y\r'],
]

function type(command: string, cwd: string, env: Readonly<Record<string, string>>): Promise<{ code: number | null; screen: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd,
      env: { ...cleanEnvironment(), TERM: 'dumb', SHELL: '/bin/sh', NO_COLOR: '1', ...env },
    })
    let screen = ''
    let answered = 0
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text
      const open = screen.slice(answered)
      const found = answers.find(([question]) => question.test(open))
      if (found === undefined) return
      answered = screen.length
      child.stdin.write(found[1])
    })
    child.stdin.on('error', () => {}) // It may end before the last answer is read.
    child.on('error', reject).on('close', code => resolve({ code, screen }))
  })
}

/** The server of `host`, for whoever goes through the proxy: files of a directory. @returns What stands in the environment of somebody who can reach it. */
async function webServer(t: TestContext, host: string, directory: string, keys: string): Promise<Record<string, string>> {
  const [key, cert] = [join(keys, 'key.pem'), join(keys, 'cert.pem')]
  const named = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...ec, ...named, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const file = join(directory, decodeURIComponent(new URL(request.url ?? '', `https://${host}`).pathname))
    if (file.startsWith(directory) && existsSync(file) && statSync(file).isFile()) response.writeHead(200).end(readFileSync(file))
    else response.writeHead(404).end()
  })
  const sockets = new Set<Socket>()
  const proxy = createProxy().on('connect', (request, socket: Socket) => {
    if (request.url !== `${host}:443`) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    const onward = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    for (const each of [socket, onward]) sockets.add(each.on('error', () => {}))
  })
  for (const each of [server, proxy]) await new Promise<void>(resolve => each.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
    proxy.close()
  })
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  return { HTTPS_PROXY: address, https_proxy: address, NO_PROXY: '', no_proxy: '', NODE_EXTRA_CA_CERTS: cert }
}

test('six commands lead from a source file to a verified plugin', { skip: noTerminal || noOpenssl }, async t => {
  const [publisher = [], user = []] = blocks
  assert.equal(publisher.length + user.length, 6)
  assert.equal(blocks.length, 2)

  const directory = mkdtempSync(join(tmpdir(), 'plugwire-six-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const [there, here, tools] = ['publisher', 'user', 'tools'].map(name => join(directory, name)) as [string, string, string]
  for (const path of [join(there, 'src'), here, tools]) mkdirSync(path, { recursive: true })
  symlinkSync(bin, join(tools, 'plugwire'))
  const homeOf = (home: string): Record<string, string> => ({
    HOME: home,
    XDG_CONFIG_HOME: '',
    XDG_DATA_HOME: '',
    XDG_CACHE_HOME: '',
    PLUGWIRE_STORE: '',
    PATH: `${tools}:${dirname(process.execPath)}:${process.env['PATH']}`,
  })

  // What the publisher has: a package with one source file, and plugwire and esbuild installed.
  copyFileSync(join(root, 'packages/cli/test/fixtures/hi.ts'), join(there, 'src/plugin.ts'))
  writeFileSync(join(there, 'package.json'), JSON.stringify({ name: '@acme/hi', version: '1.0.0', type: 'module' }))
  symlinkSync(join(root, 'node_modules'), join(there, 'node_modules'))
  for (const { command } of publisher) {
    const { code, screen } = await type(command, there, homeOf(there))
    assert.equal(code, 0, `${command}\n${screen}`)
  }

  // What the user has: the key, from elsewhere.
  copyFileSync(join(there, 'acme.pub'), join(here, 'acme.pub'))
  const web = await webServer(t, 'plugins.example.com', join(there, 'release'), directory)
  const fingerprints = /SHA256:[\w+/]{43}/g
  for (const { command, says } of user) {
    const { code, screen } = await type(command, here, { ...homeOf(here), ...web })
    assert.equal(code, 0, `${command}\n${screen}`)
    const said = screen
      .replace(/[^\n]*\r(?!\n)/g, '')
      .replaceAll('\r\n', '\n')
      .replace(fingerprints, 'SHA256:…')
    for (const line of says) assert.ok(said.includes(line.replace(fingerprints, 'SHA256:…')), `${command} says\n${said}`)
  }

  const { signer, versions } = readLock(readFileSync(join(here, 'plugwire.lock'))).plugins.get('@acme/hi')!
  assert.equal(signer?.publisher, 'acme')
  assert.deepEqual([...versions.keys()], ['1.0.0'])
  // Nobody left anything in the other one's home.
  assert.ok(existsSync(join(here, '.local/share/plugwire/store')))
  assert.ok(!existsSync(join(there, '.local')) && !existsSync(join(there, '.config')))
})
