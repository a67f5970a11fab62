// Discovery for a host: which plugins of a contract it finds, which it starts, and why not the others.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { encodeManifest } from '@plugwire/trust'
import { isPluginError } from 'plugwire'
import { type DiscoverPluginsOptions, discoverPlugins } from '../src/discovery/connect.ts'
import { bundle } from '../src/publish/bundle.ts'
import { lamps } from './fixtures/lamp-contract.ts'
import { acme, mallory, policy, sha512 } from './releases.ts'

const code = Buffer.from(await bundle(fileURLToPath(new URL('fixtures/lamp.js', import.meta.url)))).toString()

interface Lamp {
  readonly version?: string
  /** Null: it has a manifest, and no signature. Left out: no manifest. */
  readonly signer?: typeof acme | null
  readonly contract?: string
}

/** A directory with plugins, each one module. */
function shelf(t: TestContext) {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'plugwire-connect-')))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const put = (name: string, { version, signer, contract = 'lamps' }: Lamp = {}): string => {
    const text = `globalThis.LAMP = ${JSON.stringify(version === undefined ? name : `${name} ${version}`)}\n${code}`
    // A module that stands alone needs the ending that says so.
    const path = join(directory, `acme-plugin-${name}${version === undefined ? '' : `_v${version}`}.mjs`)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text, { mode: 0o644 })
    if (signer === undefined) return path
    const manifest = encodeManifest({
      name,
      version: version ?? '1.0.0',
      type: 'bundle',
      publisher: { name: 'Acme' },
      contract: { name: contract, versions: [1], protocols: ['plugwire'] },
      platforms: { any: { entry: 'lamp.mjs', files: { 'lamp.mjs': { sha512: sha512(text), size: Buffer.byteLength(text) } } } },
    })
    writeFileSync(`${path}.plugwire.json`, manifest)
    if (signer !== null) writeFileSync(`${path}.plugwire.json.minisig`, signer.sign(manifest))
    return path
  }
  const find = (options: Partial<DiscoverPluginsOptions> = {}) =>
    discoverPlugins(lamps, { application: 'acme', directories: [directory], places: [], launch: { logger: false }, ...options })
  return { put, find }
}

type Found = Awaited<ReturnType<ReturnType<typeof shelf>['find']>>

const reasonsOf = ({ candidates }: Found): Record<string, string> =>
  Object.fromEntries(
    candidates.map(({ name, version, plugin, refusals }) => [
      version === undefined ? name : `${name} ${version}`,
      plugin === undefined ? refusals.map(({ reason }) => reason).join(' ') : 'runs',
    ]),
  )

async function colours({ connected }: Found): Promise<string[]> {
  return Promise.all(connected.map(async ({ plugin }) => (await plugin.dispense('lamp')).colour()))
}

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

test('without connect nothing runs, and every candidate says what speaks against it', async t => {
  const { put, find } = shelf(t)
  put('red', { version: '1.0.0', signer: acme })
  put('green', { version: '1.0.0', signer: acme, contract: 'clouds' })
  chmodSync(put('blue'), 0o666)
  await using found = await find()
  assert.deepEqual(reasonsOf(found), { blue: 'others-may-write', 'green 1.0.0': 'other-contract', 'red 1.0.0': '' })
  assert.deepEqual(found.connected, [])
})

test('connect starts the newest of each name, or the next when that does not shake hands, and closes all of them', async t => {
  const { put, find } = shelf(t)
  put('red', { version: '1.0.0', signer: acme })
  put('red', { version: '1.2.0', signer: acme })
  put('red', { version: '2.0.0', signer: acme })
  put('plain')
  put('broken')
  const backup = put('lit', { version: '1.1.0' })
  writeFileSync(backup, 'process.exit(7)')
  put('lit', { version: '1.0.0' })
  chmodSync(put('open'), 0o666)
  let pids: number[]
  {
    await using found = await find({ connect: true, concurrency: 2 })
    assert.deepEqual(reasonsOf(found), {
      broken: 'no-handshake',
      'lit 1.0.0': 'runs',
      'lit 1.1.0': 'no-handshake',
      open: 'others-may-write',
      plain: 'runs',
      'red 1.0.0': '',
      'red 1.2.0': '',
      'red 2.0.0': 'runs',
    })
    assert.deepEqual(await colours(found), ['lit 1.0.0', 'plain', 'red 2.0.0'])
    const broken = found.candidates.find(({ name }) => name === 'broken')
    assert.ok(isPluginError(broken?.failure, 'ERR_HANDSHAKE_EXIT'))
    assert.match(broken.refusals[0]?.text ?? '', /no bulb/)
    pids = found.connected.map(({ plugin }) => plugin.pid)
  }
  assert.deepEqual(pids.map(gone), [true, true, true])

  await using ranged = await find({ connect: true, range: '^1', allow: ({ name }) => name !== 'lit' })
  assert.deepEqual(await colours(ranged), ['red 1.2.0'])
  const { 'lit 1.0.0': lit, 'red 2.0.0': red, plain } = reasonsOf(ranged)
  assert.deepEqual({ lit, red, plain }, { lit: 'not-allowed', red: 'other-version', plain: 'other-version' })
})

test('with a policy only what is signed runs, and of that what was verified', async t => {
  const { put, find } = shelf(t)
  put('red', { version: '1.0.0', signer: acme })
  put('red', { version: '1.1.0', signer: mallory })
  put('green', { version: '1.0.0', signer: null })
  put('plain')
  const changed = put('blue', { version: '1.0.0', signer: acme })
  writeFileSync(changed, readFileSync(changed, 'utf8').replace('blue', 'pink'))
  await using found = await find({ connect: true, policy })
  assert.deepEqual(reasonsOf(found), {
    'blue 1.0.0': 'not-trusted',
    'green 1.0.0': 'not-trusted',
    plain: 'not-trusted',
    'red 1.0.0': 'runs',
    'red 1.1.0': 'not-trusted',
  })
  assert.deepEqual(Object.fromEntries(found.candidates.map(({ name, version, failure }) => [`${name} ${version}`, failure?.code])), {
    'blue 1.0.0': 'ERR_CHECKSUM',
    'green 1.0.0': 'ERR_SIGNATURE_MISSING',
    'plain undefined': 'ERR_SIGNATURE_MISSING',
    'red 1.0.0': undefined,
    'red 1.1.0': 'ERR_TRUST_UNKNOWN_SIGNER',
  })
  assert.deepEqual(await colours(found), ['red 1.0.0'])
  assert.equal(found.connected[0]?.verdict?.signers[0]?.publisher, 'Acme')
})

test('who gives up is left with nothing that runs', async t => {
  const { put, find } = shelf(t)
  for (const name of ['b', 'c']) put(name)
  const path = put('a')
  const note = `${path}.map` // Nobody takes that for a plugin.
  const telling = `import { writeFileSync as tell } from 'node:fs'\ntell(${JSON.stringify(note)}, String(process.pid))\n`
  writeFileSync(path, telling + readFileSync(path, 'utf8'))
  const stop = new AbortController()
  const allow: DiscoverPluginsOptions['allow'] = ({ name }) => {
    if (name === 'b') stop.abort(new Error('enough'))
    return true
  }
  await assert.rejects(find({ connect: true, concurrency: 1, signal: stop.signal, allow }), /enough/)
  assert.ok(gone(Number(readFileSync(note, 'utf8'))))
})
