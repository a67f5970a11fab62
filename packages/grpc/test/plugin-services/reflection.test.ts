// The descriptors that a plugin gives of itself, read by a library that is not ours.

import assert from 'node:assert/strict'
import { createConnection, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { serviceFiles } from '../../src/driver/service-files.ts'
import { Health } from '../../src/plugin-services/health.ts'
import { ownFiles } from '../../src/plugin-services/own-files.ts'
import { FieldWriter, readFields } from '../../src/plugin-services/proto-fields.ts'
import { addReflection } from '../../src/plugin-services/reflection.ts'
import type { AnyService } from '../../src/service/source.ts'
import { openChannel } from '../../src/transport/channel.ts'
import type { MethodDefinition } from '../../src/transport/definition.ts'
import { createGrpcServer } from '../../src/transport/server.ts'

const asked = (version: string): MethodDefinition<Buffer, Buffer> => ({
  path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
  requestStream: true,
  responseStream: true,
  requestSerialize: bytes => bytes,
  requestDeserialize: bytes => bytes,
  responseSerialize: bytes => bytes,
  responseDeserialize: bytes => bytes,
})

/** Answers by field number; each as the bytes of its fields 1. */
async function ask(version: string, ...questions: Buffer[]): Promise<Map<number, Buffer[]>[]> {
  const server = createGrpcServer()
  new Health().addTo(server)
  addReflection(server, async () => ownFiles())
  const listener = createServer(socket => server.inject(socket)).listen(0, '127.0.0.1')
  await new Promise(resolve => listener.once('listening', resolve))
  const { port } = listener.address() as { port: number }
  const channel = openChannel(async () => createConnection({ port, host: '127.0.0.1' }))
  try {
    const answers: Map<number, Buffer[]>[] = []
    for await (const bytes of channel.bidi(asked(version), questions)) {
      const answer = new Map<number, Buffer[]>()
      readFields(bytes, {
        bytes(field, value) {
          if (field < 4) return
          const parts: Buffer[] = []
          readFields(value, { bytes: (_part, it) => void parts.push(it) })
          answer.set(field, parts)
        },
      })
      answers.push(answer)
    }
    return answers
  } finally {
    await channel.close()
    server.destroy()
    listener.close()
  }
}

const question = (field: number, text: string): Buffer => new FieldWriter().message(field, Buffer.from(text)).finish()

describe('reflection', () => {
  test('the descriptors of the services of every plugin fit together', () => {
    const file = ownFiles().map(bytes => fromBinary(FileDescriptorProtoSchema, bytes))
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }))
    const streams = registry.getService('plugin.GRPCBroker')?.method['startStream']
    assert.equal(streams?.methodKind, 'bidi_streaming')
    assert.equal(streams?.input.typeName, 'plugin.ConnInfo')
    assert.equal(registry.getService('plugin.GRPCStdio')?.method['streamStdio']?.input.typeName, 'google.protobuf.Empty')
    assert.equal(registry.getService('grpc.health.v1.Health')?.method['list']?.output.fields[0]?.fieldKind, 'map')
    assert.ok(registry.getEnum('plugin.StdioData.Channel'))
  })

  test('services of protobuf-es bring their descriptors, and those of what they import', async () => {
    const file = ownFiles().map(bytes => fromBinary(FileDescriptorProtoSchema, bytes))
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }))
    const stdio = registry.getService('plugin.GRPCStdio')
    const files = await serviceFiles([stdio as unknown as AnyService, { Ask: asked('v1') }])
    const names = files.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes).name)
    assert.deepEqual(names, ['grpc_stdio.proto', 'google/protobuf/empty.proto'])
  })

  for (const version of ['v1', 'v1alpha']) {
    test(`${version} lists services and gives the files of symbols`, async () => {
      const [list, symbol, method, file, unknown] = await ask(
        version,
        question(7, '*'),
        question(4, 'grpc.health.v1.Health'),
        question(4, 'plugin.GRPCStdio.StreamStdio'),
        question(3, 'grpc_broker.proto'),
        question(4, 'no.such.Thing'),
      )
      const names: string[] = []
      for (const part of list?.get(6) ?? []) readFields(part, { bytes: (_field, value) => void names.push(value.toString()) })
      assert.deepEqual(names, ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'])
      const nameOf = (bytes: Buffer | undefined): string => fromBinary(FileDescriptorProtoSchema, bytes as Buffer).name
      assert.deepEqual(symbol?.get(4)?.map(nameOf), ['grpc/health/v1/health.proto'])
      assert.deepEqual(method?.get(4)?.map(nameOf), ['grpc_stdio.proto', 'google/protobuf/empty.proto'])
      assert.deepEqual(file?.get(4)?.map(nameOf), ['grpc_broker.proto'])
      assert.equal(unknown?.has(7), true)
    })
  }
})
