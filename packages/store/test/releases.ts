// Releases made for tests: a plugin that is packed and signed, and the same in the layouts of registries.

import { createHash, generateKeyPairSync, sign as signWith } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { generateKey, type SecretKey, type TrustPolicy } from '@plugwire/trust'
import { type Packed, pack } from '../src/publish/pack.ts'
import { tgz, zip } from './archives.ts'
import type { TestServer } from './server.ts'

export const acme: SecretKey = generateKey('minisign')
export const mallory: SecretKey = generateKey('minisign')
export const policy: TrustPolicy = { publishers: [{ name: 'Acme', keys: [(await acme.export()).public] }] }
export const sha512 = (bytes: Uint8Array | string): string => createHash('sha512').update(bytes).digest('hex')
export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export interface Made extends Packed {
  /** The directory of the plugin, with `index.json`. */
  readonly directory: string
}

interface Making {
  readonly version?: string
  readonly name?: string
  readonly key?: SecretKey | null
  readonly platforms?: readonly string[]
  readonly text?: string
}

/** Packs a plugin for some platforms, each with two files, and signs it. */
export async function make(
  out: string,
  { version = '1.0.0', name = 'aws', key = acme, platforms = ['linux-x64', 'darwin-arm64'], text = '' }: Making = {},
): Promise<Made> {
  const builds = Object.fromEntries(
    platforms.map(platform => {
      const path = join(out, '..', 'builds', name, version, platform)
      mkdirSync(join(path, 'data'), { recursive: true })
      writeFileSync(join(path, 'plugin'), `#!/bin/sh\n# ${name} ${version} ${platform} ${text}\n`.repeat(100), { mode: 0o755 })
      writeFileSync(join(path, 'data', 'table'), `${platform}\n`)
      return [platform, { path, entry: 'plugin' }]
    }),
  )
  const packed = await pack({
    name,
    version,
    type: 'program',
    contract: { name: 'cloud', versions: [1], protocols: ['plugwire'] },
    publisher: { name: 'Acme' },
    builds,
    out,
  })
  if (key !== null) writeFileSync(`${packed.manifestPath}.minisig`, key.sign(readFileSync(packed.manifestPath)))
  return { ...packed, directory: dirname(packed.indexPath) }
}

/** Everything below a directory, as a server hands it out. */
export function publish(server: TestServer, directory: string, at = '/'): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      const path = join(entry.parentPath, entry.name)
      server.files.set(at + path.slice(directory.length + 1), readFileSync(path))
    }
}

export const registryKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const registryKeyDer = registryKey.publicKey.export({ format: 'der', type: 'spki' })
export const registryKeyId = `SHA256:${createHash('sha256').update(registryKeyDer).digest('base64')}`
export const registryKeys = { keys: [{ keyid: registryKeyId, key: registryKeyDer.toString('base64'), expires: null as string | null }] }

export interface NpmRelease {
  readonly version: string
  readonly tarball: Buffer
  /** Left out: none. */
  readonly signed?: boolean
  readonly more?: object
  readonly dist?: object
}

/** A registry with one package. */
export function publishNpm(server: TestServer, name: string, releases: readonly NpmRelease[], time?: Record<string, string>): void {
  const bare = name.split('/').at(-1) as string
  const versions = Object.fromEntries(
    releases.map(({ version, tarball, signed = true, more, dist }) => {
      const path = `/${name}/-/${bare}-${version}.tgz`
      server.files.set(path, tarball)
      const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
      const sig = signWith('sha256', Buffer.from(`${name}@${version}:${integrity}`), registryKey.privateKey).toString('base64')
      const signatures = signed ? { signatures: [{ keyid: registryKeyId, sig }] } : {}
      return [version, { name, version, dist: { tarball: server.url + path, integrity, ...signatures, ...dist }, ...more }]
    }),
  )
  server.files.set(`/${name.replace('/', '%2f')}`, JSON.stringify({ name, versions, ...(time && { time }) }))
  if (!server.files.has('/-/npm/v1/keys')) server.files.set('/-/npm/v1/keys', JSON.stringify(registryKeys))
}

/** A packed release as an npm package: the manifest, its signature and its archives, beside a package.json with an install script. */
export function npmTarball(made: Made, only?: (name: string) => boolean): Buffer {
  const directory = dirname(made.manifestPath)
  const packageJson = JSON.stringify({
    name: made.manifest.name,
    version: made.manifest.version,
    scripts: { install: 'touch /tmp/plugwire-was-here' },
  })
  return tgz([
    { name: 'package/package.json', body: packageJson },
    ...readdirSync(directory)
      .filter(name => only?.(name) ?? true)
      .map(name => ({ name: `package/${name}`, body: readFileSync(join(directory, name)) })),
  ])
}

/** A registry of Terraform providers with one provider. */
export function publishTerraform(
  server: TestServer,
  name: string,
  version: string,
  platforms: readonly string[],
  { shasum, sums, signature = true }: { shasum?: string; sums?: string; signature?: boolean } = {},
): Map<string, Buffer> {
  const type = name.split('/')[1] as string
  server.files.set('/.well-known/terraform.json', JSON.stringify({ 'providers.v1': '/api/providers/' }))
  server.files.set(
    `/api/providers/${name}/versions`,
    JSON.stringify({
      versions: [
        {
          version,
          protocols: ['5.0', '6.0'],
          platforms: platforms.map(platform => ({ os: platform.split('_')[0], arch: platform.split('_')[1] })),
        },
      ],
    }),
  )
  const archives = new Map(
    platforms.map(platform => [
      `terraform-provider-${type}_${version}_${platform}.zip`,
      zip([
        { name: 'LICENSE.txt', body: 'MPL' },
        { name: `terraform-provider-${type}_v${version}_x5`, body: `program for ${platform}`, mode: 0o100755 },
      ]),
    ]),
  )
  const base = `/files/terraform-provider-${type}_${version}_SHA256SUMS`
  server.files.set(base, sums ?? [...archives].map(([file, bytes]) => `${sha256(bytes)}  ${file}\n`).join(''))
  server.files.set(`${base}.sig`, 'an OpenPGP signature')
  for (const [file, bytes] of archives) {
    const [, platform = ''] = /_([a-z0-9]+_[a-z0-9]+)\.zip$/.exec(file) ?? []
    server.files.set(`/files/${file}`, bytes)
    server.files.set(
      `/api/providers/${name}/${version}/download/${platform.replace('_', '/')}`,
      JSON.stringify({
        protocols: ['5.0'],
        filename: file,
        download_url: `/files/${file}`,
        shasums_url: base,
        ...(signature && { shasums_signature_url: `${base}.sig` }),
        shasum: shasum ?? sha256(bytes),
        signing_keys: { gpg_public_keys: [{ key_id: 'X', ascii_armor: 'the key' }] },
      }),
    )
  }
  return archives
}

/** A packed release as an artifact of a container registry that wants a token. */
export function publishOci(
  server: TestServer,
  repository: string,
  tag: string,
  made: Made,
  change: (layers: object[]) => object[] = layers => layers,
): void {
  const directory = dirname(made.manifestPath)
  const layers = readdirSync(directory).map(name => {
    const bytes = readFileSync(join(directory, name))
    const digest = `sha256:${sha256(bytes)}`
    server.files.set(`/v2/${repository}/blobs/${digest}`, bytes)
    return { mediaType: 'application/octet-stream', digest, size: bytes.length, annotations: { 'org.opencontainers.image.title': name } }
  })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.plugwire.plugin.v1',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${sha256('{}')}`, size: 2 },
      layers: change(layers),
    }),
  )
  server.files.set(`/v2/${repository}/manifests/${tag}`, (request, response) => {
    if (request.headers['authorization'] !== 'Bearer the-token') {
      response
        .writeHead(401, {
          'www-authenticate': `Bearer realm="${server.url}/token",service="${server.host}",scope="repository:${repository}:pull"`,
        })
        .end()
      return
    }
    response.writeHead(200, { 'docker-content-digest': `sha256:${sha256(manifest)}` }).end(manifest)
  })
  server.files.set('/token', (request, response) => {
    const { searchParams } = new URL(request.url ?? '', server.url)
    const isRight = searchParams.get('scope') === `repository:${repository}:pull` && searchParams.get('service') === server.host
    response.writeHead(isRight ? 200 : 400).end(JSON.stringify({ token: 'the-token' }))
  })
  server.files.set(`/v2/${repository}/tags/list`, (request, response) => {
    const isSecond = request.url?.includes('last=')
    const link = `</v2/${repository}/tags/list?n=1&last=latest>; rel="next"`
    response.writeHead(200, isSecond ? {} : { link }).end(JSON.stringify({ name: repository, tags: isSecond ? [tag] : ['latest'] }))
  })
}
