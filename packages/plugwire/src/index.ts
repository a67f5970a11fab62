// The public `plugwire` entry: what a shared contract file needs, on both sides. Names are listed one by one.

export type { ByRef } from './by-ref.ts'
export { byRef } from './by-ref.ts'
export type {
  AnyContract,
  ConfigOf,
  Contract,
  ContractVersions,
  Cookie,
  Dispense,
  Dispenser,
  Factories,
  Factory,
  InterfaceOf,
  Kind,
  KindNames,
  KindOptions,
  KindsOf,
  MethodSchemas,
  OneVersion,
  OpenContractOptions,
  RemoteOf,
  TwoSided,
  Versions,
} from './contract.ts'
export { contract, kind, openContract } from './contract.ts'
export type { ErrorCode, ErrorFacts, LastWords } from './errors.ts'
export { isPluginError, PluginError } from './errors.ts'
export type { Limits } from './limits.ts'
export { defaultLimits } from './limits.ts'
export type { Implementation, Remote, RemoteFunction, RemoteMethod, RemoteResult, RemoteValue, Sent } from './remote.ts'
export type { SchemaIssue, SchemaVerdict, StandardSchema } from './standard-schema.ts'
