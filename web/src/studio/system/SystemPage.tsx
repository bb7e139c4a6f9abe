import { Page, PageHead } from "../parts/layout";

export function SystemPage() {
  return <Page><PageHead title="SystemPage" /></Page>;
}
