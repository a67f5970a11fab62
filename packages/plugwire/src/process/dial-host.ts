// The way from a plugin to a listener of its host (broker). A file of its own, because few plugins ever go it.

import type { Socket } from 'node:net'
import type { Network } from '../wire/handshake.ts'
import { connectTo } from './connect.ts'

/** @param plugin The plugin's name, for texts. */
export function dialHost(plugin: string, network: string, address: string): Promise<Socket> {
  return connectTo({ plugin: `the host of ${plugin}`, network: network as Network, address, anyHost: true })
}
