import { Page, PageHead } from "../parts/layout";

export function AssistantsPage(_: { chosen?: number }) {
  return <Page><PageHead title="AssistantsPage" /></Page>;
}
