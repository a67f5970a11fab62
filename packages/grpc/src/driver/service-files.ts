// Descriptors of services for reflection, where the way in which a service was given brings them: protobuf-es does.

import type { DescFile, DescService } from '@bufbuild/protobuf'
import type { AnyService } from '../service/source.ts'

/** Serialized `FileDescriptorProto`s of services and of all that their files import. */
export async function serviceFiles(services: readonly AnyService[]): Promise<Uint8Array[]> {
  const files = new Set<DescFile>()
  const add = (file: DescFile): void => {
    if (files.has(file)) return
    files.add(file)
    for (const dependency of file.dependencies) add(dependency)
  }
  for (const service of services) if (service.kind === 'service' && 'file' in service) add((service as unknown as DescService).file)
  if (files.size === 0) return []
  const [{ toBinary }, { FileDescriptorProtoSchema }] = await Promise.all([import('@bufbuild/protobuf'), import('@bufbuild/protobuf/wkt')])
  return [...files].map(file => toBinary(FileDescriptorProtoSchema, file.proto))
}
