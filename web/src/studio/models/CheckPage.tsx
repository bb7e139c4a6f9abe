import { Page, PageHead } from "../parts/layout";

export function CheckPage() {
  return <Page><PageHead title="CheckPage" /></Page>;
}
