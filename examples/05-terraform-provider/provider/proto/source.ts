// Where the protocols stand: as files beside this one or, in a bundle, as text in it.

/** Put in its place by the bundler (bundle.ts): the files by their version. */
declare const TFPLUGIN: { readonly 5: string; readonly 6: string } | undefined

/** From the built module to the file, which the compiler leaves where it is. */
const HERE = '../../../../05-terraform-provider/provider/proto'

/** What `proto` of @plugwire/grpc takes. */
export function protocolSource(version: 5 | 6): string | URL {
  return typeof TFPLUGIN === 'undefined' ? new URL(`${HERE}/tfplugin${version}.proto`, import.meta.url) : TFPLUGIN[version]
}
