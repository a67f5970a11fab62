// Services described by protobuf-es v2. Its types are spelled out here by their shape, so that who does not use it need not install it; the library
// itself is fetched when a service is bound.

import type { DescMessage, DescService } from '@bufbuild/protobuf'
import type { AnyMethod, ServiceDefinition } from '../transport/definition.ts'

/** What a `DescService` or `GenService` is, as far as it matters here. */
export interface ProtobufEsService {
  readonly kind: 'service'
  readonly typeName: string
  readonly method: Readonly<Record<string, ProtobufEsMethod>>
}

export interface ProtobufEsMethod {
  readonly methodKind: 'unary' | 'server_streaming' | 'client_streaming' | 'bidi_streaming'
  readonly input: object
  readonly output: object
}

/** The message that a generated schema stands for; of a schema that was not generated, anything. */
// biome-ignore lint/suspicious/noExplicitAny: a descriptor that was read at run time says nothing to the compiler
export type MessageOf<Schema> = Schema extends { readonly $codegenv2: { a: infer Message } } ? Message : any

/** What a message can be made of: itself, or an object of some of its fields, as `create` of protobuf-es takes it. */
export type MessageInit<Message> = 0 extends 1 & Message
  ? // biome-ignore lint/suspicious/noExplicitAny: anything stays anything
    any
  : Message | { [Field in Exclude<keyof Message, '$typeName' | '$unknown'>]?: FieldInit<Message[Field]> }

type FieldInit<Field> = Field extends Date | Uint8Array | bigint | boolean | string | number | undefined
  ? Field
  : Field extends readonly (infer Item)[]
    ? readonly FieldInit<Item>[]
    : Field extends { readonly $typeName: string }
      ? MessageInit<Field>
      : Field extends { case: infer Case; value: infer Value }
        ? { case: Case; value: FieldInit<Value> }
        : Field extends { case: undefined }
          ? Field
          : Field extends { [key: string]: infer Value }
            ? { [key: string]: FieldInit<Value> }
            : Field

/** The definition of a service; methods are named as protobuf-es names them. */
export async function definitionOf(service: ProtobufEsService): Promise<ServiceDefinition> {
  const { create, fromBinary, toBinary } = await import('@bufbuild/protobuf')
  const codec = (schema: DescMessage) => ({
    // `create` gives back what is a message already, and makes one of anything else.
    write: (message: Record<string, unknown>): Uint8Array => toBinary(schema, create(schema, message)),
    // As plain bytes: fields of bytes are views of what is read, and are to be what protobuf-es says they are.
    read: (bytes: Buffer): unknown => fromBinary(schema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)),
  })
  const { typeName, methods } = service as unknown as DescService
  const definition: Record<string, AnyMethod> = {}
  for (const { name, localName, methodKind, input, output } of methods) {
    const request = codec(input)
    const response = codec(output)
    definition[localName] = {
      path: `/${typeName}/${name}`,
      requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
      responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
      requestSerialize: request.write,
      requestDeserialize: request.read,
      responseSerialize: response.write,
      responseDeserialize: response.read,
    }
  }
  return definition
}
