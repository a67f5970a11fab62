// Our host runs real plugins that are not ours: it launches them, asks them what they serve, and ends them.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { grpc, type ProtoService, proto } from '@plugwire/grpc'
import { contract } from 'plugwire'
import { launch } from 'plugwire/host'
import { buildReal, type RealName, realPlugins, skipUnlessBuilt } from '../src/real.ts'

const programs = new Map<RealName, string>()
// Before all tests, since one of them may take a minute at most and a first build takes longer.
const skip = await skipUnlessBuilt(async () => {
  for (const name of Object.keys(realPlugins) as RealName[]) programs.set(name, await buildReal(name))
})

/** The part of it that lists services. Source: grpc/reflection/v1alpha/reflection.proto. */
const reflection: ProtoService<{
  serverReflectionInfo(
    requests: AsyncIterable<{ listServices: string }>,
  ): AsyncIterable<{ listServicesResponse: { service: { name: string }[] } | null }>
}> = proto(
  `syntax = "proto3"; package grpc.reflection.v1alpha;
  service ServerReflection { rpc ServerReflectionInfo(stream Request) returns (stream Response); }
  message Request { string list_services = 7; }
  message Response { List list_services_response = 6; }
  message List { repeated Service service = 1; }
  message Service { string name = 1; }`,
  'grpc.reflection.v1alpha.ServerReflection',
)

describe('real plugins', { skip }, () => {
  for (const [name, { contract: facts }] of Object.entries(realPlugins) as [RealName, (typeof realPlugins)[RealName]][]) {
    const [key, value] = facts.cookie
    const versions = Object.fromEntries(facts.versions.map(version => [version, { reflection: grpc(reflection) }]))
    const asked = contract({ name, cookie: { key, value }, versions })
    for (const multiplex of [false, true]) {
      test(`${name}${multiplex ? ', multiplexed' : ''}`, async () => {
        const command = { command: programs.get(name) as string }
        await using plugin = await launch(asked, command, { env: { ...facts.environment }, multiplex, logger: false })
        assert.equal(plugin.secure, true)
        await plugin.ping()
        const { serverReflectionInfo } = await plugin.dispense('reflection')
        const services: string[] = []
        for await (const { listServicesResponse } of serverReflectionInfo([{ listServices: '*' }]))
          services.push(...(listServicesResponse?.service ?? []).map(service => service.name))
        for (const service of [...facts.services, 'plugin.GRPCBroker', 'plugin.GRPCStdio']) assert.ok(services.includes(service), service)
        assert.equal(plugin.handshake?.version, facts.versions.at(-1))
        assert.equal(await plugin.close(), 'told')
      })
    }
  }
})
