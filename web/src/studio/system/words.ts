/** Words of the system page. */
import { wording } from "~/shared/i18n";

export const { say: saySystem, use: useSystemWords } = wording(
  {
    title: "System", text: "This machine, this installation, and what it is set to.",
    hardware: "Machine", cpu: "Processor", cores: "{n} cores", memory: "Memory", disk: "Disk", gpu: "GPU", noGpu: "none: training and answering run on the processor", free: "{free} of {total} free", version: "Version", python: "Python", database: "Database", host: "Host", tasks: "Tasks", "tasks.n": "{running} running, {waiting} waiting",
    doctor: "Doctor", "doctor.text": "Whether everything is in order, and what to do where it is not.", "doctor.run": "Examine", "doctor.fine": "Everything is in order.", "l.ok": "fine", "l.warning": "warning", "l.error": "problem",
    settings: "Settings", change: "Change", reset: "Back to the default", set: "set", notSet: "not set", fixed: "changed on the command line: lorasmith config set {name} VALUE", replace: "Replace", remove: "Remove", secretHint: "It is written and never shown.",
    judges: "Judges", "judges.text": "Language models that mark answers. Their keys stay in the environment of the server.", "judges.none": "No judge is registered.", "judge.add": "Add a judge", "judge.edit": "Edit", "judge.id": "Name", "judge.kind": "Provider", "judge.model": "Model", "judge.url": "Address", "judge.urlHint": "Empty: the provider's own", "judge.key": "Variable with the key", "judge.keyHint": "Its name, such as MY_JUDGE_KEY, never the key itself", "judge.noKey": "{name} is not set", "judge.delete": "Delete “{name}”?", "judge.deleteText": "It is no longer registered. Searches that run keep it.",
    test: "Test", trackers: "Trackers", "trackers.text": "Where the figures of trainings go.", audit: "Audit", "audit.text": "What was changed last, and by whom.", "audit.none": "Nothing has been changed yet.", when: "When", who: "Who", what: "What", outcome: "Outcome", sections: "On this page", invalid: "This is no valid value",
  },
  {
    title: "Система", text: "Эта машина, эта установка и её настройки.",
    hardware: "Машина", cpu: "Процессор", cores: "ядер: {n}", memory: "Память", disk: "Диск", gpu: "GPU", noGpu: "нет: обучение и ответы идут на процессоре", free: "свободно {free} из {total}", version: "Версия", python: "Python", database: "База данных", host: "Узел", tasks: "Задачи", "tasks.n": "идёт {running}, ждёт {waiting}",
    doctor: "Доктор", "doctor.text": "Всё ли в порядке, и что делать, если нет.", "doctor.run": "Проверить", "doctor.fine": "Всё в порядке.", "l.ok": "в порядке", "l.warning": "внимание", "l.error": "проблема",
    settings: "Настройки", change: "Изменить", reset: "Вернуть по умолчанию", set: "задано", notSet: "не задано", fixed: "меняется в терминале: lorasmith config set {name} ЗНАЧЕНИЕ", replace: "Заменить", remove: "Убрать", secretHint: "Записывается и никогда не показывается.",
    judges: "Судьи", "judges.text": "Языковые модели, которые оценивают ответы. Их ключи остаются в окружении сервера.", "judges.none": "Судей нет.", "judge.add": "Добавить судью", "judge.edit": "Править", "judge.id": "Название", "judge.kind": "Поставщик", "judge.model": "Модель", "judge.url": "Адрес", "judge.urlHint": "Пусто: собственный адрес поставщика", "judge.key": "Переменная с ключом", "judge.keyHint": "Её имя, например MY_JUDGE_KEY, а не сам ключ", "judge.noKey": "{name} не задана", "judge.delete": "Удалить «{name}»?", "judge.deleteText": "Запись будет удалена. Идущие подборы сохранят судью.",
    test: "Проверить", trackers: "Трекеры", "trackers.text": "Куда записываются показатели обучений.", audit: "Журнал изменений", "audit.text": "Что изменено последним и кем.", "audit.none": "Изменений ещё не было.", when: "Когда", who: "Кто", what: "Что", outcome: "Итог", sections: "На этой странице", invalid: "Недопустимое значение",
  },
  {
    title: "系统", text: "本机、本安装及其设置。",
    hardware: "机器", cpu: "处理器", cores: "{n} 核", memory: "内存", disk: "磁盘", gpu: "GPU", noGpu: "无：训练和回答在处理器上进行", free: "可用 {free} / {total}", version: "版本", python: "Python", database: "数据库", host: "主机", tasks: "任务", "tasks.n": "运行 {running}，等待 {waiting}",
    doctor: "诊断", "doctor.text": "一切是否正常，以及如何解决问题。", "doctor.run": "检查", "doctor.fine": "一切正常。", "l.ok": "正常", "l.warning": "警告", "l.error": "问题",
    settings: "设置", change: "修改", reset: "恢复默认", set: "已设置", notSet: "未设置", fixed: "在命令行修改：lorasmith config set {name} 值", replace: "替换", remove: "移除", secretHint: "只写入，从不显示。",
    judges: "评审", "judges.text": "给回答打分的语言模型。密钥保留在服务器环境中。", "judges.none": "没有登记评审。", "judge.add": "添加评审", "judge.edit": "编辑", "judge.id": "名称", "judge.kind": "提供方", "judge.model": "模型", "judge.url": "地址", "judge.urlHint": "留空：提供方自己的地址", "judge.key": "密钥变量", "judge.keyHint": "变量名，如 MY_JUDGE_KEY，而不是密钥本身", "judge.noKey": "{name} 未设置", "judge.delete": "删除“{name}”？", "judge.deleteText": "将不再登记。正在运行的调参会保留它。",
    test: "测试", trackers: "跟踪器", "trackers.text": "训练数据记录到哪里。", audit: "审计", "audit.text": "最近的更改及操作者。", "audit.none": "还没有更改。", when: "时间", who: "谁", what: "内容", outcome: "结果", sections: "本页内容", invalid: "无效的值",
  },
);
