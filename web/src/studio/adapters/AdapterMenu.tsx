/** What can be done with an adapter. */
import { useMutation } from "@tanstack/react-query";
import { Ellipsis, PackageOpen, PencilLine, Shrink, Trash2 } from "lucide-react";
import { useState } from "react";
import { Confirm } from "~/shared/components/Dialog";
import { Menu } from "~/shared/components/Menu";
import { toast } from "~/shared/components/Toasts";
import { formatBytes } from "~/shared/i18n";
import { type Adapter, adapters } from "../api";
import { queries } from "../live";
import { toastError } from "../problems";
import { ExportDialog } from "./ExportDialog";
import { RenameDialog } from "./RenameDialog";
import { ResizeDialog } from "./ResizeDialog";
import { useAdapterWords } from "./words";

type Opened = "export" | "resize" | "rename" | "remove";

/** Models list their adapters, too. */
export const refresh = (): void => {
  for (const queryKey of [["adapters"], ["models"]]) void queries.invalidateQueries({ queryKey });
};

export function AdapterMenu({ adapter }: { adapter: Adapter }) {
  const t = useAdapterWords();
  const [opened, setOpened] = useState<Opened | null>(null);
  const { name, rank, troubles } = adapter;
  const close = (): void => setOpened(null);
  const removal = useMutation({
    mutationFn: () => adapters.remove(name), onSuccess: () => toast(t("removed", { name })), onError: toastError, onSettled: refresh,
  });
  const isWhole = troubles.length === 0;
  return (
    <>
      <Menu
        label={t("actions", { name })}
        className="grid size-9 place-items-center rounded-md text-muted transition-colors hover:bg-raised hover:text-ink"
        items={[
          ...(isWhole ? [{ label: `${t("export")}…`, icon: PackageOpen, onSelect: () => setOpened("export") }] : []),
          ...(isWhole && rank !== null && rank > 1 ? [{ label: `${t("resize")}…`, icon: Shrink, onSelect: () => setOpened("resize") }] : []),
          { label: `${t("rename")}…`, icon: PencilLine, onSelect: () => setOpened("rename") },
          { label: `${t("remove")}…`, icon: Trash2, danger: true, onSelect: () => setOpened("remove") },
        ]}
      >
        <Ellipsis size={18} aria-hidden />
      </Menu>
      {opened === "export" && <ExportDialog base={adapter.base_model} adapter={name} onClose={close} />}
      {opened === "resize" && <ResizeDialog adapter={adapter} onClose={close} />}
      {opened === "rename" && <RenameDialog name={name} onClose={close} />}
      {opened === "remove" && (
        <Confirm
          title={t("remove.title", { name })}
          text={t("remove.text", { size: formatBytes(adapter.num_bytes) })}
          action={t("remove")}
          onConfirm={() => { close(); removal.mutate(); }}
          onClose={close}
        />
      )}
    </>
  );
}
