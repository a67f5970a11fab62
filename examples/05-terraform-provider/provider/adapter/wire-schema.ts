// Schemas as messages. Knows of no requests.

import { type Attribute, type Block, type Nesting, type Schema, typeOfShape } from '../schema.ts'
import type { AttributeMessage, BlockMessage, NestingMode, SchemaMessage } from './messages.ts'

const modes: { readonly [N in Nesting]: NestingMode } = { single: 'SINGLE', list: 'LIST', set: 'SET', map: 'MAP' }

/** @param nestedTypes Whether the protocol has nested attributes; else they are attributes whose type is an object. */
export function schemaMessage(schema: Schema, nestedTypes: boolean): SchemaMessage {
  return { version: schema.version, block: blockMessage(schema, nestedTypes) }
}

function blockMessage(block: Block, nestedTypes: boolean): BlockMessage {
  return {
    attributes: Object.entries(block.attributes).map(([name, attribute]) => attributeMessage(name, attribute, nestedTypes)),
    blockTypes: Object.entries(block.blocks).map(([typeName, inner]) => ({
      typeName,
      block: blockMessage(inner, nestedTypes),
      nesting: modes[inner.nesting],
      minItems: inner.min ?? 0,
      maxItems: inner.max ?? 0,
    })),
    description: block.description ?? '',
    descriptionKind: 'MARKDOWN',
  }
}

function attributeMessage(name: string, { mode, type: { shape }, options }: Attribute, nestedTypes: boolean): AttributeMessage {
  return {
    name,
    ...(shape.kind === 'nested' && nestedTypes
      ? {
          nestedType: {
            attributes: Object.entries(shape.attributes).map(([inner, attribute]) => attributeMessage(inner, attribute, nestedTypes)),
            nesting: modes[shape.nesting],
          },
        }
      : { type: Buffer.from(JSON.stringify(typeOfShape(shape))) }),
    required: mode === 'required',
    optional: mode === 'optional' || mode === 'either' || mode === 'defaulted',
    computed: mode === 'computed' || mode === 'either' || mode === 'defaulted',
    sensitive: options.sensitive ?? false,
    deprecated: options.deprecated ?? false,
    description: options.description ?? '',
    descriptionKind: 'MARKDOWN',
  }
}
