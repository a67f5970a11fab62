// The messages of proto/tfplugin6.proto and proto/tfplugin5.proto as programs see them. Both protocols have the same ones, but for names of methods
// and for nested attributes. Any field may be left out, and of a message that came any may be missing.

/** A 64-bit integer: comes as a `bigint`, may leave as a `number`. */
export type Int64 = number | bigint

export interface DynamicValue {
  readonly msgpack?: Uint8Array
  readonly json?: Uint8Array
}

export interface AttributePath {
  readonly steps?: readonly { readonly attributeName?: string; readonly elementKeyString?: string; readonly elementKeyInt?: Int64 }[]
}

export type Severity = 'INVALID' | 'ERROR' | 'WARNING'

export interface DiagnosticMessage {
  readonly severity?: Severity
  readonly summary?: string
  readonly detail?: string
  readonly attribute?: AttributePath | null
}

/** A response that may say what is wrong. */
export interface Diagnosed {
  readonly diagnostics?: readonly DiagnosticMessage[]
}

export type StringKind = 'PLAIN' | 'MARKDOWN'

export type NestingMode = 'INVALID' | 'SINGLE' | 'LIST' | 'SET' | 'MAP' | 'GROUP'

export interface AttributeMessage {
  readonly name?: string
  readonly type?: Uint8Array
  readonly nestedType?: { readonly attributes?: readonly AttributeMessage[]; readonly nesting?: NestingMode } | null
  readonly description?: string
  readonly descriptionKind?: StringKind
  readonly required?: boolean
  readonly optional?: boolean
  readonly computed?: boolean
  readonly sensitive?: boolean
  readonly deprecated?: boolean
}

export interface BlockMessage {
  readonly attributes?: readonly AttributeMessage[]
  readonly blockTypes?: readonly NestedBlockMessage[]
  readonly description?: string
  readonly descriptionKind?: StringKind
}

export interface NestedBlockMessage {
  readonly typeName?: string
  readonly block?: BlockMessage | null
  readonly nesting?: NestingMode
  readonly minItems?: Int64
  readonly maxItems?: Int64
}

export interface SchemaMessage {
  readonly version?: Int64
  readonly block?: BlockMessage | null
}

export interface Capabilities {
  readonly planDestroy?: boolean
  readonly getProviderSchemaOptional?: boolean
  readonly moveResourceState?: boolean
}

type Nothing = Readonly<Record<never, never>>
type Schemas = { readonly [type: string]: SchemaMessage }
type Typed = { readonly typeName?: string }

export interface Metadata extends Diagnosed {
  readonly serverCapabilities?: Capabilities
  readonly resources?: readonly Typed[]
  readonly dataSources?: readonly Typed[]
}

export interface ProviderSchema extends Diagnosed {
  readonly provider?: SchemaMessage | null
  readonly resourceSchemas?: Schemas
  readonly dataSourceSchemas?: Schemas
  readonly serverCapabilities?: Capabilities | null
  readonly functions?: { readonly [name: string]: { readonly summary?: string } }
  readonly ephemeralResourceSchemas?: Schemas
}

export interface Configuration {
  readonly config?: DynamicValue | null
}

export interface TypedConfiguration extends Configuration, Typed {}

export interface UpgradeRequest extends Typed {
  readonly version?: Int64
  readonly rawState?: { readonly json?: Uint8Array } | null
}

export interface ConfigureRequest extends Configuration {
  readonly terraformVersion?: string
}

export interface ReadRequest extends Typed {
  readonly currentState?: DynamicValue | null
  readonly private?: Uint8Array
}

export interface PlanRequest extends TypedConfiguration {
  readonly priorState?: DynamicValue | null
  readonly proposedNewState?: DynamicValue | null
  readonly priorPrivate?: Uint8Array
}

export interface PlanResponse extends Diagnosed {
  readonly plannedState?: DynamicValue | null
  readonly requiresReplace?: readonly AttributePath[]
  readonly plannedPrivate?: Uint8Array
}

export interface ApplyRequest extends TypedConfiguration {
  readonly priorState?: DynamicValue | null
  readonly plannedState?: DynamicValue | null
  readonly plannedPrivate?: Uint8Array
}

export interface NewState extends Diagnosed {
  readonly newState?: DynamicValue | null
  readonly private?: Uint8Array
}

export interface ImportRequest extends Typed {
  readonly id?: string
}

export interface Imported extends Diagnosed {
  readonly importedResources?: readonly (Typed & { readonly state?: DynamicValue | null; readonly private?: Uint8Array })[]
}

export interface MoveRequest {
  readonly sourceTypeName?: string
  readonly targetTypeName?: string
}

/** What a call may need to know beside its request. */
export interface CallContext {
  readonly signal?: AbortSignal
}

/** A unary method. */
type Method<Request, Response> = (request: Request, context: CallContext) => Promise<Response>

/** What both protocols call alike. */
interface Shared {
  readonly getMetadata: Method<Nothing, Metadata>
  readonly upgradeResourceState: Method<UpgradeRequest, Diagnosed & { readonly upgradedState?: DynamicValue | null }>
  readonly readResource: Method<ReadRequest, NewState>
  readonly planResourceChange: Method<PlanRequest, PlanResponse>
  readonly applyResourceChange: Method<ApplyRequest, NewState>
  readonly importResourceState: Method<ImportRequest, Imported>
  readonly moveResourceState: Method<MoveRequest, Diagnosed>
  readonly readDataSource: Method<TypedConfiguration, Diagnosed & { readonly state?: DynamicValue | null }>
  readonly getFunctions: Method<Nothing, Diagnosed>
}

export interface Provider6 extends Shared {
  readonly getProviderSchema: Method<Nothing, ProviderSchema>
  readonly validateProviderConfig: Method<Configuration, Diagnosed>
  readonly validateResourceConfig: Method<TypedConfiguration, Diagnosed>
  readonly validateDataResourceConfig: Method<TypedConfiguration, Diagnosed>
  readonly configureProvider: Method<ConfigureRequest, Diagnosed>
  readonly stopProvider: Method<Nothing, Nothing>
}

export interface Provider5 extends Shared {
  readonly getSchema: Method<Nothing, ProviderSchema>
  readonly prepareProviderConfig: Method<Configuration, Diagnosed & { readonly preparedConfig?: DynamicValue | null }>
  readonly validateResourceTypeConfig: Method<TypedConfiguration, Diagnosed>
  readonly validateDataSourceConfig: Method<TypedConfiguration, Diagnosed>
  readonly configure: Method<ConfigureRequest, Diagnosed>
  readonly stop: Method<Nothing, Nothing>
}
