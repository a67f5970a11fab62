// The public `@plugwire/store` entry. Names are listed one by one.

export type { ArchiveFile, RandomAccess } from './archives/entry.ts'
export type { ArchiveFormat, UnpackOptions } from './archives/unpack.ts'
export { formatOf, randomAccess, unpack } from './archives/unpack.ts'
export type { CommandCall, CommandsOptions, RunCommand } from './command/commands.ts'
export { commands } from './command/commands.ts'
export type { GarbageOptions, GarbageReport } from './content/garbage.ts'
export { addRoot, collectGarbage } from './content/garbage.ts'
export { defaultStoreDirectory, userDataDirectory } from './content/places.ts'
export type { OpenContent, PutOptions, StoredContent } from './content/store.ts'
export { ContentStore } from './content/store.ts'
export type { Turn } from './content/turns.ts'
export { MANIFEST_NAME, MANIFEST_SUFFIX } from './discovery/candidate-name.ts'
export type { Claims } from './discovery/claims.ts'
export type { DiscoveredPlugin, DiscoveredPlugins, DiscoverPluginsOptions } from './discovery/connect.ts'
export { discoverPlugins } from './discovery/connect.ts'
export type { Candidate, DiscoverOptions, Discovery, PlaceReport } from './discovery/discover.ts'
export { discover } from './discovery/discover.ts'
export { discoverGlob } from './discovery/glob.ts'
export type { Refusal } from './discovery/ownership.ts'
export type { Place, PlaceKind, PlacesOptions } from './discovery/places.ts'
export type { Wanted } from './discovery/selection.ts'
export { rankCandidates, selectCandidate } from './discovery/selection.ts'
export { defaultTrustedDirectoriesFile, TrustedDirectories } from './discovery/trusted-directories.ts'
export type { CandidateTrust } from './discovery/verified-candidate.ts'
export { ensurePlugin } from './install/ensure.ts'
export type { InstallEvent } from './install/events.ts'
export type { ListedPlugin } from './install/inspect.ts'
export { list, why } from './install/inspect.ts'
export type { Installed, InstallOptions, OutdatedPlugin } from './install/install.ts'
export { install, outdated, update } from './install/install.ts'
export type { StoredPluginOptions } from './install/stored-plugin.ts'
export { openPlugin, StoredPlugin } from './install/stored-plugin.ts'
export type { ArchiveLimits } from './limits.ts'
export { defaultArchiveLimits } from './limits.ts'
export { bundle } from './publish/bundle.ts'
export type { Build, Packed, PackOptions } from './publish/pack.ts'
export { pack } from './publish/pack.ts'
export type { PluginAddress, SourceKind } from './sources/address.ts'
export { addressForms, formatAddress, parseAddress } from './sources/address.ts'
export type { Downloaded, DownloadOptions } from './sources/download.ts'
export { download } from './sources/download.ts'
export type { HttpOptions, HttpRetry } from './sources/http/client.ts'
export { HttpClient } from './sources/http/client.ts'
export type { IndexSourceOptions } from './sources/index-source.ts'
export { npmSettings } from './sources/npm-settings.ts'
export type { NpmSourceOptions, RegistryKey } from './sources/npm-source.ts'
export type { OciSourceOptions } from './sources/oci-source.ts'
export type { SourcesOptions } from './sources/open-source.ts'
export { Sources } from './sources/open-source.ts'
export type {
  FetchedFile,
  FetchOptions,
  Finding,
  ImportedArchive,
  ImportedAs,
  Layout,
  Release,
  ResolveOptions,
  Source,
  SourceFile,
} from './sources/source.ts'
export { Interruption } from './sources/source.ts'
export type { ChecksumsVerifier, TerraformSourceOptions } from './sources/terraform-source.ts'
