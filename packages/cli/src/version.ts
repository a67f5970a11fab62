// The release of this command, the same as that of all packages of plugwire. A test holds it equal to package.json.

export const VERSION = '0.1.0'
