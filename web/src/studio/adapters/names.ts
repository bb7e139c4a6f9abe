/** Names that an adapter can have, as the server takes them. */
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,118}[A-Za-z0-9])?$/;
export const canBeName = (name: string): boolean => NAME.test(name);
