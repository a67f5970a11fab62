// Proxies as the environment names them, and a tunnel through one. Only HTTPS goes through: inside the tunnel it is encrypted to the server itself.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { badAddress } from '../failure.ts'
import { Interruption } from '../source.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy for an address: `HTTPS_PROXY` or `ALL_PROXY`, unless `NO_PROXY` names the host. In either case of letters; small ones win, as with curl.
 * @throws PluginError `ERR_SOURCE_ADDRESS` when it is no HTTP proxy
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const read = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined
  const given = read('HTTPS_PROXY') ?? read('ALL_PROXY')
  if (given === undefined || isExcluded(url, read('NO_PROXY') ?? '')) return undefined
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`
  const proxy = URL.canParse(text) ? new URL(text) : undefined
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy
  throw badAddress('HTTPS_PROXY', 'it names no HTTP proxy', 'Write http://host:port; SOCKS is not known.')
}

const bareAddress = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1')

function isExcluded({ hostname, port }: URL, list: string): boolean {
  const host = bareAddress(hostname.toLowerCase())
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(entry => entry !== '')
    .some(entry => {
      if (entry === '*') return true
      // Of an address with colons only brackets tell where its port begins.
      const [, name = entry, wantedPort] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? []
      if (wantedPort !== undefined && wantedPort !== (port || '443')) return false
      const bare = bareAddress(name.replace(/^\*?\./, ''))
      return host === bare || host.endsWith(`.${bare}`)
    })
}

/** A TLS connection to a server through a proxy. */
export async function connectThrough(proxy: URL, url: URL, signal: AbortSignal, options: { readonly ca?: string[] }): Promise<TLSSocket> {
  const { request } = proxy.protocol === 'https:' ? await import('node:https') : await import('node:http')
  const { connect } = await import('node:tls')
  const { isIP } = await import('node:net')
  const authority = `${url.hostname}:${url.port || 443}`
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  const socket = await new Promise<Socket>((resolve, reject) => {
    const sent = request(proxy, {
      method: 'CONNECT',
      path: authority,
      signal,
      agent: false,
      headers: {
        host: authority,
        ...(credentials !== ':' && { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
      },
      ...options,
    })
    sent
      .once('connect', (response, tunnel) => {
        if (response.statusCode === 200) return resolve(tunnel as Socket)
        tunnel.destroy()
        reject(new Interruption(`the proxy ${proxy.host} answered ${response.statusCode}`, { status: response.statusCode ?? 0 }))
      })
      .once('response', response => {
        response.destroy()
        reject(new Interruption(`the proxy ${proxy.host} answered ${response.statusCode}`, { status: response.statusCode ?? 0 }))
      })
      .on('error', reject)
      .end()
  })
  const host = bareAddress(url.hostname)
  return new Promise((resolve, reject) => {
    const secure = connect(
      // Without `host` the certificate of an address made of numbers would be held against the proxy's name.
      { socket, host, ...(isIP(host) === 0 && { servername: host }), ALPNProtocols: ['http/1.1'], ...options },
      () => resolve(secure),
    )
    secure.once('error', reject)
    signal.addEventListener('abort', () => secure.destroy(signal.reason as Error), { once: true })
  })
}
