// The reflection service, v1 and v1alpha, with which tools such as grpcurl ask what a plugin serves. Knows services by their names and, where the
// way in which a service was given tells them, by their descriptors. Source: grpc/reflection/v1/reflection.proto.

import type { MethodDefinition } from '../transport/definition.ts'
import type { GrpcServer } from '../transport/seam.ts'
import { Status } from '../transport/status.ts'
import { FieldWriter, readFields } from './proto-fields.ts'

/** `ServerReflectionRequest`, with its one question. */
export interface ReflectionRequest {
  readonly host: string
  readonly question:
    | { readonly kind: 'file' | 'symbol' | 'extensions' | 'services'; readonly name: string }
    | { readonly kind: 'extension'; readonly name: string; readonly number: number }
    | undefined
  /** As it came, since it travels back. */
  readonly bytes: Buffer
}

/** `ServerReflectionResponse`, but for the request that it repeats. */
export interface ReflectionResponse {
  readonly request: ReflectionRequest
  readonly answer:
    | { readonly kind: 'files'; readonly files: readonly Uint8Array[] }
    | { readonly kind: 'services'; readonly names: readonly string[] }
    | { readonly kind: 'extensions'; readonly type: string; readonly numbers: readonly number[] }
    | { readonly kind: 'error'; readonly code: number; readonly message: string }
}

function decodeRequest(bytes: Buffer): ReflectionRequest {
  let host = ''
  let question: ReflectionRequest['question']
  readFields(bytes, {
    bytes(field, value) {
      if (field === 1) host = value.toString()
      else if (field === 3) question = { kind: 'file', name: value.toString() }
      else if (field === 4) question = { kind: 'symbol', name: value.toString() }
      else if (field === 6) question = { kind: 'extensions', name: value.toString() }
      else if (field === 7) question = { kind: 'services', name: value.toString() }
      else if (field === 5) {
        let name = ''
        let number = 0
        readFields(value, {
          varint: (part, it) => void (part === 2 && (number = it)),
          bytes: (part, it) => void (part === 1 && (name = it.toString())),
        })
        question = { kind: 'extension', name, number }
      }
    },
  })
  return { host, question, bytes }
}

function encodeResponse({ request, answer }: ReflectionResponse): Buffer {
  const fields = new FieldWriter().text(1, request.host).message(2, request.bytes)
  switch (answer.kind) {
    case 'files': {
      const files = new FieldWriter()
      for (const file of answer.files) files.message(1, file)
      return fields.message(4, files.finish()).finish()
    }
    case 'extensions': {
      const extensions = new FieldWriter().text(1, answer.type)
      for (const number of answer.numbers) extensions.varint(2, number)
      return fields.message(5, extensions.finish()).finish()
    }
    case 'services': {
      const services = new FieldWriter()
      for (const name of answer.names) services.message(1, new FieldWriter().text(1, name).finish())
      return fields.message(6, services.finish()).finish()
    }
    case 'error':
      return fields.message(7, new FieldWriter().varint(1, answer.code).text(2, answer.message).finish()).finish()
  }
}

const refuse = (): never => {
  throw new TypeError('this side of reflection only answers')
}

const method = (path: string): MethodDefinition<ReflectionRequest, ReflectionResponse> => ({
  path,
  requestStream: true,
  responseStream: true,
  requestSerialize: request => request.bytes,
  requestDeserialize: decodeRequest,
  responseSerialize: encodeResponse,
  responseDeserialize: refuse,
})

/** Answers for what `server` serves, now and later. `files` are serialized `FileDescriptorProto`s, asked for with the first question. */
export function addReflection(server: GrpcServer, files: () => Promise<Iterable<Uint8Array>>): void {
  let descriptors: Promise<Descriptors> | undefined
  async function* answer(requests: AsyncIterable<ReflectionRequest>): AsyncGenerator<ReflectionResponse, void, undefined> {
    for await (const request of requests) {
      descriptors ??= files().then(found => new Descriptors(found))
      yield { request, answer: answerTo(request, await descriptors, server.services) }
    }
  }
  for (const version of ['v1', 'v1alpha']) {
    server.add(
      { ServerReflectionInfo: method(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`) },
      { ServerReflectionInfo: answer },
    )
  }
}

function answerTo({ question }: ReflectionRequest, known: Descriptors, services: readonly string[]): ReflectionResponse['answer'] {
  const unknown = (what: string): ReflectionResponse['answer'] => ({
    kind: 'error',
    code: Status.NOT_FOUND,
    message: `${what} is not known here`,
  })
  if (question === undefined) return { kind: 'error', code: Status.INVALID_ARGUMENT, message: 'no question that is known here' }
  const { name } = question
  switch (question.kind) {
    case 'services':
      return { kind: 'services', names: [...services].sort() }
    case 'file': {
      const file = known.byName.get(name)
      return file === undefined ? unknown(`file ${name}`) : { kind: 'files', files: known.withDependencies(file) }
    }
    case 'symbol': {
      const file = known.fileOf(name)
      return file === undefined ? unknown(name) : { kind: 'files', files: known.withDependencies(file) }
    }
    case 'extension': {
      const file = known.extensions.get(name)?.get(question.number)
      return file === undefined
        ? unknown(`extension ${question.number} of ${name}`)
        : { kind: 'files', files: known.withDependencies(file) }
    }
    case 'extensions':
      return known.symbols.has(name) || known.extensions.has(name)
        ? { kind: 'extensions', type: name, numbers: [...(known.extensions.get(name)?.keys() ?? [])] }
        : unknown(name)
  }
}

/** What one `FileDescriptorProto` says of itself. */
interface File {
  readonly bytes: Uint8Array
  readonly name: string
  readonly dependencies: readonly string[]
}

/** Files by what they define. */
class Descriptors {
  readonly byName = new Map<string, File>()
  /** Full names of messages, enums, services and what is in them. */
  readonly symbols = new Map<string, File>()
  /** By the full name of the type that is extended, then by field number. */
  readonly extensions = new Map<string, Map<number, File>>()

  constructor(files: Iterable<Uint8Array>) {
    for (const bytes of files) this.#add(bytes)
  }

  fileOf(symbol: string): File | undefined {
    return this.symbols.get(symbol)
  }

  /** A file and all that it imports, each once, itself first. */
  withDependencies(file: File): Uint8Array[] {
    const found = new Set([file])
    for (const { dependencies } of found) {
      for (const name of dependencies) {
        const dependency = this.byName.get(name)
        if (dependency !== undefined) found.add(dependency)
      }
    }
    return [...found].map(each => each.bytes)
  }

  // Field numbers of FileDescriptorProto, DescriptorProto, EnumDescriptorProto, ServiceDescriptorProto and FieldDescriptorProto.
  #add(bytes: Uint8Array): void {
    let name = ''
    let scope = ''
    const dependencies: string[] = []
    const file = { bytes, name, dependencies }
    const asBuffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    readFields(asBuffer, {
      bytes(field, value) {
        if (field === 1) name = value.toString()
        else if (field === 2) scope = value.toString()
        else if (field === 3) dependencies.push(value.toString())
      },
    })
    file.name = name
    if (this.byName.has(name)) return
    this.byName.set(name, file)
    readFields(asBuffer, {
      bytes: (field, value) => {
        if (field === 4) this.#addMessage(file, scope, value)
        else if (field === 5) this.#addWithMembers(file, scope, value, false)
        else if (field === 6) this.#addWithMembers(file, scope, value, true)
        else if (field === 7) this.#addExtension(file, scope, value)
      },
    })
  }

  #addMessage(file: File, scope: string, message: Buffer): void {
    const own = this.#define(file, scope, message)
    readFields(message, {
      bytes: (field, value) => {
        if (field === 2 || field === 8) this.#define(file, own, value)
        else if (field === 3) this.#addMessage(file, own, value)
        else if (field === 4) this.#addWithMembers(file, own, value, false)
        else if (field === 6) this.#addExtension(file, own, value)
      },
    })
  }

  /** Methods belong to their service; values of an enum to what the enum is in, as in C++. */
  #addWithMembers(file: File, scope: string, parent: Buffer, inside: boolean): void {
    const own = this.#define(file, scope, parent)
    readFields(parent, { bytes: (field, value) => void (field === 2 && this.#define(file, inside ? own : scope, value)) })
  }

  #addExtension(file: File, scope: string, extension: Buffer): void {
    this.#define(file, scope, extension)
    let extended = ''
    let number = 0
    readFields(extension, {
      varint: (field, value) => void (field === 3 && (number = value)),
      bytes: (field, value) => void (field === 2 && (extended = value.toString().replace(/^\./, ''))),
    })
    const numbers = this.extensions.get(extended)
    if (numbers === undefined) this.extensions.set(extended, new Map([[number, file]]))
    else numbers.set(number, file)
  }

  /** Notes what a descriptor defines; its name is always field 1. Returns the full name. */
  #define(file: File, scope: string, descriptor: Buffer): string {
    let name = ''
    readFields(descriptor, { bytes: (field, value) => void (field === 1 && (name = value.toString())) })
    const full = scope === '' ? name : `${scope}.${name}`
    if (!this.symbols.has(full)) this.symbols.set(full, file)
    return full
  }
}
