// The release, as it is told to the other side and to people. A test holds it equal to package.json.

export const VERSION = '0.1.0'
