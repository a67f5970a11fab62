// Descriptors of the services that every plugin has, for reflection: `FileDescriptorProto`s as far as tools need them, put together only when
// somebody asks. Source: go-plugin internal/plugin/*.proto, grpc/health/v1/health.proto.

import { FieldWriter } from './proto-fields.ts'

// FieldDescriptorProto.Type
const BOOL = 8
const STRING = 9
const MESSAGE = 11
const BYTES = 12
const UINT32 = 13
const ENUM = 14

type FieldRow = readonly [name: string, number: number, type: number, typeName?: string]
type MethodRow = readonly [name: string, input: string, output: string, streams?: 'client' | 'server' | 'both']

const field = ([name, number, type, typeName]: FieldRow, repeated = false): Buffer =>
  new FieldWriter()
    .text(1, name)
    .varint(3, number)
    .varint(4, repeated ? 3 : 1)
    .varint(5, type)
    .text(6, typeName ?? '')
    .finish()

function message(
  name: string,
  fields: readonly Buffer[],
  nested: readonly Buffer[] = [],
  enums: readonly Buffer[] = [],
  isMap = false,
): Buffer {
  const writer = new FieldWriter().text(1, name)
  for (const each of fields) writer.message(2, each)
  for (const each of nested) writer.message(3, each)
  for (const each of enums) writer.message(4, each)
  // MessageOptions.map_entry
  if (isMap) writer.message(7, new FieldWriter().bool(7, true).finish())
  return writer.finish()
}

function enumeration(name: string, values: readonly string[]): Buffer {
  const writer = new FieldWriter().text(1, name)
  values.forEach((value, number) => {
    writer.message(2, new FieldWriter().text(1, value).varint(2, number).finish())
  })
  return writer.finish()
}

function service(name: string, methods: readonly MethodRow[]): Buffer {
  const writer = new FieldWriter().text(1, name)
  for (const [method, input, output, streams] of methods) {
    writer.message(
      2,
      new FieldWriter()
        .text(1, method)
        .text(2, input)
        .text(3, output)
        .bool(5, streams === 'client' || streams === 'both')
        .bool(6, streams === 'server' || streams === 'both')
        .finish(),
    )
  }
  return writer.finish()
}

function file(
  name: string,
  scope: string,
  parts: { imports?: readonly string[]; messages: readonly Buffer[]; services: readonly Buffer[] },
): Buffer {
  const writer = new FieldWriter().text(1, name).text(2, scope)
  for (const each of parts.imports ?? []) writer.text(3, each)
  for (const each of parts.messages) writer.message(4, each)
  for (const each of parts.services) writer.message(6, each)
  return writer.text(12, 'proto3').finish()
}

/** The files of broker, controller, stdio and health. */
export function ownFiles(): Uint8Array[] {
  return [
    file('grpc_broker.proto', 'plugin', {
      messages: [
        message(
          'ConnInfo',
          (
            [
              ['service_id', 1, UINT32],
              ['network', 2, STRING],
              ['address', 3, STRING],
              ['knock', 4, MESSAGE, '.plugin.ConnInfo.Knock'],
            ] as const
          ).map(row => field(row)),
          [
            message(
              'Knock',
              (
                [
                  ['knock', 1, BOOL],
                  ['ack', 2, BOOL],
                  ['error', 3, STRING],
                ] as const
              ).map(row => field(row)),
            ),
          ],
        ),
      ],
      services: [service('GRPCBroker', [['StartStream', '.plugin.ConnInfo', '.plugin.ConnInfo', 'both']])],
    }),
    file('grpc_controller.proto', 'plugin', {
      messages: [message('Empty', [])],
      services: [service('GRPCController', [['Shutdown', '.plugin.Empty', '.plugin.Empty']])],
    }),
    file('google/protobuf/empty.proto', 'google.protobuf', { messages: [message('Empty', [])], services: [] }),
    file('grpc_stdio.proto', 'plugin', {
      imports: ['google/protobuf/empty.proto'],
      messages: [
        message(
          'StdioData',
          [field(['channel', 1, ENUM, '.plugin.StdioData.Channel']), field(['data', 2, BYTES])],
          [],
          [enumeration('Channel', ['INVALID', 'STDOUT', 'STDERR'])],
        ),
      ],
      services: [service('GRPCStdio', [['StreamStdio', '.google.protobuf.Empty', '.plugin.StdioData', 'server']])],
    }),
    file('grpc/health/v1/health.proto', 'grpc.health.v1', {
      messages: [
        message('HealthCheckRequest', [field(['service', 1, STRING])]),
        message(
          'HealthCheckResponse',
          [field(['status', 1, ENUM, '.grpc.health.v1.HealthCheckResponse.ServingStatus'])],
          [],
          [enumeration('ServingStatus', ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'])],
        ),
        message('HealthListRequest', []),
        message(
          'HealthListResponse',
          [field(['statuses', 1, MESSAGE, '.grpc.health.v1.HealthListResponse.StatusesEntry'], true)],
          [
            message(
              'StatusesEntry',
              [field(['key', 1, STRING]), field(['value', 2, MESSAGE, '.grpc.health.v1.HealthCheckResponse'])],
              [],
              [],
              true,
            ),
          ],
        ),
      ],
      services: [
        service('Health', [
          ['Check', '.grpc.health.v1.HealthCheckRequest', '.grpc.health.v1.HealthCheckResponse'],
          ['List', '.grpc.health.v1.HealthListRequest', '.grpc.health.v1.HealthListResponse'],
          ['Watch', '.grpc.health.v1.HealthCheckRequest', '.grpc.health.v1.HealthCheckResponse', 'server'],
        ]),
      ],
    }),
  ]
}
